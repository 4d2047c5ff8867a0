"""What documents and queries are split into, by one analyser for both engines."""
