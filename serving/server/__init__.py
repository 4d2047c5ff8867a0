"""The HTTP server process: application, workers and socket."""
