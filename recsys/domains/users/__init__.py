"""Accounts, profiles, sessions, activities and social ties."""
