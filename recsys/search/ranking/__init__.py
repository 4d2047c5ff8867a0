"""The order of search results: formula, popularity and a user's own order."""
