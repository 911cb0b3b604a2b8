"""What Latchkey is measured beside: the least there can be, and what a user would otherwise pick."""
