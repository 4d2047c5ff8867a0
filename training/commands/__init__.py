"""The commands of `recsys train`, a module for each group of them."""
