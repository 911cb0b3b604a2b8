"""The Python client passes its own tests, against a server of this checkout."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_python_client_passes_its_own_tests() -> None:
    ran = subprocess.run(["make", "--silent", "client"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert " passed" in ran.stdout
    assert " skipped" not in ran.stdout
