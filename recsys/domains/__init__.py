"""The seven domains of the shop."""
