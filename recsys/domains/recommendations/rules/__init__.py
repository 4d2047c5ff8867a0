"""Business rules of the shop."""
