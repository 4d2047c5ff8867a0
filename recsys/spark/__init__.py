"""Apache Spark: what it needs, a session, and our settings on its executors."""
