"""How the router talks to nodes: connections, dialects, and the decoders of their answers."""
