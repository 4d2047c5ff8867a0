"""Models of product attributes, also for users and products without history."""
