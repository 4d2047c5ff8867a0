"""Published and measured tables, fitted again and printed beside the peers."""
