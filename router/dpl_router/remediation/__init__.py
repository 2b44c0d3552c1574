"""What Alertmanager makes the router do."""
