"""How the router talks to nodes: one dialect per file, over one push-style transport."""
