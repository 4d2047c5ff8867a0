"""From the shop's tables to a Dataset on disk."""
