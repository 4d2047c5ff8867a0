"""Search: one interface, PostgreSQL by default and Elasticsearch by a setting, kept in step by events."""
