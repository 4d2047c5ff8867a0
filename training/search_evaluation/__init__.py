"""How good the shop's search is, without and with a user's own order."""
