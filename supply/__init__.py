"""What Latchkey is made of that we did not write: the locks, what is known to be wrong with it, bills of it."""
