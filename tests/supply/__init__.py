"""What Latchkey is made of, delivered in and held to by programs of others."""
