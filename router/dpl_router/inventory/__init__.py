"""nodes.yaml: which machines there are, and every mistake in the file at once."""
