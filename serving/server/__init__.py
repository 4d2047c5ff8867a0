"""The process that answers HTTP: application, workers and socket."""
