"""The choice of a node as pure arithmetic: values in, a decision with its reasons out."""
