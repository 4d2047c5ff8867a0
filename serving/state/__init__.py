"""What one API process holds in memory and keeps fresh in the background."""
