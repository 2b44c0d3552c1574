"""The one path of clients' calls to nodes; `dispatcher.py` is where to begin."""
