"""Page views, events, sessions and daily metrics."""
