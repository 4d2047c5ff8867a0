"""The script of web pages, and the routes that serve it."""
