"""The fleet over HTTP: what each node is doing, what it serves, who holds it."""
