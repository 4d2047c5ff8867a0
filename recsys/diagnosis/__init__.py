"""The health of each part, and whether the data still look like what the model learned from."""
