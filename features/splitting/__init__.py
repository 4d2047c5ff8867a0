"""Where a test lies in time, and what it holds out."""
