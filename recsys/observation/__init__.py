"""What an operator sees from outside: figures of the whole shop for Prometheus."""
