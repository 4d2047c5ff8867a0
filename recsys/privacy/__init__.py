"""What people may ask of a shop about themselves: their data, its erasure, and how long it is kept."""
