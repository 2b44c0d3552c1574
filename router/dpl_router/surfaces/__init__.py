"""How clients talk to the router: one protocol per file."""
