"""Where clients arrive: the listener, and the short way to the inference calls."""
