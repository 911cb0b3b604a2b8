"""All that knows HTTP: the GraphQL endpoint, its WebSocket twin, the console's session, limits and health."""
