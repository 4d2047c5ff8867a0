"""The screens of those who run the service: keys, staff, the audit, settings."""
