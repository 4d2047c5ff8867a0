"""The users domain over HTTP and by its services, on real PostgreSQL and Valkey."""
