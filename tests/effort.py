"""How much the tests that draw their cases try: little at every commit, ten times as much in `make soak`.

Those of a commit are always the same, so that what fails was broken by it; others are drawn each time in `make soak`.
"""

import os

EFFORT = int(os.environ.get("LATCHKEY_TEST_EFFORT", "1"))
SOAK = 10
"""The effort of `make soak`, and the only one whose figures are kept."""
MIXED_S = int(os.environ.get("LATCHKEY_TEST_MIXED_S", "600"))
"""For how many seconds `make soak` keeps up the mixed load with random faults."""


def tries(at_least: int) -> int:
    """Say how many cases to draw."""
    return at_least * EFFORT
