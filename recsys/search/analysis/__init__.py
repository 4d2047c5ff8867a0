"""The analyser of documents and queries, the same for all engines."""
