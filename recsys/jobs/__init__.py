"""Jobs: long commands that are started by a schedule or by hand, one process each, with a history."""
