"""The path of one request, from what is asked to the bytes of the response."""
