"""Search: one interface to PostgreSQL, Elasticsearch and OpenSearch, kept up to date by events."""
