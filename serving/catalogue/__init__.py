"""The shop's products in memory, kept current."""
