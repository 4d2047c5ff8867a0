"""Templates of messages, filled in a process of its own that has limits and can be ended."""
