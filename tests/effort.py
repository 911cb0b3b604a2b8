"""How much the tests that draw their cases try: little at every commit, ten times as much in `make soak`."""

import os

EFFORT = int(os.environ.get("LATCHKEY_TEST_EFFORT", "1"))


def tries(at_least: int) -> int:
    """Say how many cases to draw."""
    return at_least * EFFORT
