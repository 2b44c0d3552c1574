"""How clients talk to the router: a file or a few for each protocol, and what they share."""
