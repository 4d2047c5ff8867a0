"""Own ids: schemes, the resolver, and requests that name things by them."""
