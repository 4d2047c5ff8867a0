"""A hybrid of several models: candidates of all, ordered by a rule learned on earlier windows."""
