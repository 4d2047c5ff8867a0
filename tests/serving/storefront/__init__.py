"""The demo shop front."""
