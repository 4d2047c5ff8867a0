"""Models, snapshots and reports that several hosts need: published to one store, read from a local cache."""
