"""Notifications, templates, channel preferences and delivery logs."""
