"""The path of one request to the bytes of its response."""
