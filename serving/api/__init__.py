"""The HTTP edge of serving: routes, parameters and schemas."""
