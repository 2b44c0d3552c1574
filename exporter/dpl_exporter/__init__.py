"""The node half of DPL: measures one machine and holds its lease."""

__version__ = "0.1.0"
