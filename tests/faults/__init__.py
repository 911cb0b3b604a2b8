"""Faults: what a server acknowledged outlives them, what was ended stays ended, and it is well again by itself."""
