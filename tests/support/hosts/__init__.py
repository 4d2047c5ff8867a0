"""Servers of several hosts: PgBouncer, Redis Cluster, replicas."""
