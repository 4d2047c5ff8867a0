"""The Complete Journey (84.51°) as data of a shop."""
