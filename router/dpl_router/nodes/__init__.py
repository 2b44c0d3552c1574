"""What the router holds and asks of nodes beside the requests: leases and its own checks."""
