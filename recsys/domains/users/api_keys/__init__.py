"""The API keys of programs."""
