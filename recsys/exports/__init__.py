"""Data of the shop as files, with the shop's own ids."""
