"""The search indices, behind one protocol."""
