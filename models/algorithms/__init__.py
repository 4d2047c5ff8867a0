"""One algorithm in each module."""
