"""Processes of commands: how they are started, end with who started them, and give way to others."""
