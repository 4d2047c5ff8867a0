"""The HTTP interface of serving: routes, parameters and schemas."""
