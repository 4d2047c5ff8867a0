"""The web edge: error rendering, request ids and dependencies shared by all routes."""
