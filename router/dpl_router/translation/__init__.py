"""Between the two protocols: bodies one way, events the other. No network, no clock but given."""
