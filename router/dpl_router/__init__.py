"""The router half of DPL: one dependable LLM service from unequal machines."""

__version__ = "0.1.0"
