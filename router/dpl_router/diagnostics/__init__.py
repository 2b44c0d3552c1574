"""What operators and their tools ask: metrics, health, discovery, PromQL by a small door."""
