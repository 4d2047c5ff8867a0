"""The lists that a shop serves beside the model's own."""
