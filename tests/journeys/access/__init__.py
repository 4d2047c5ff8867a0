"""What each route answers to each key, page and person."""
