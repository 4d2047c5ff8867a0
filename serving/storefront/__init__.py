"""The demo shop front at /shop, built with the public script and the services of the domains."""
