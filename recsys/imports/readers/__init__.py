"""Files as batches of checked records."""
