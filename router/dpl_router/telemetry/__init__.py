"""Facts in: what Prometheus recorded, or what exporters say themselves, with their age."""
