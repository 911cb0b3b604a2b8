"""Which machine, and which programs on it, figures come from."""

import os
import platform
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.load import LOAD_CORE, SERVER_CORE
from bench.peers.node import programs


def described() -> dict[str, str]:
    """Describe what matters for the figures."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores",
        "cores used": f"servers and databases on {SERVER_CORE}, the load on {LOAD_CORE}",
        "memory": f"{int(memory[1]) >> 20} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "strawberry-graphql": version("strawberry-graphql"),
        "uvicorn": version("uvicorn"),
        "Node": _said(programs()[0], "--version").strip(),
        "wrk": _said("wrk", "-v").split(" [")[0].removeprefix("wrk "),
    }


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - programs of the benches


if __name__ == "__main__":
    sys.stdout.write(f"{described()}\n")
