"""Measurements that print ratios; run by hand or by `make bench`."""
