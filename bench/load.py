"""Servers under load: each in a process of its own, on loopback, pressed by `wrk` for a bounded time."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CONNECTIONS = 64
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """What is pressed: where, with which body and headers, and whose CPU time counts."""

    url: str
    body: str
    pid: int
    headers: Mapping[str, str]
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Measure:
    """Requests a second, and microseconds of the server's CPU for each."""

    requests_per_s: float
    cpu_us: float


@contextmanager
def served(contender: str, port: int) -> Iterator[tuple[str, int]]:
    """Serve a contender with uvicorn, as Latchkey itself is served; gives its URL and process id."""
    command = [sys.executable, "-m", "uvicorn", f"bench.contenders.{contender}:app", "--port", str(port)]
    quiet = [
        "--no-access-log",
        "--log-level",
        "warning",
        "--no-server-header",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    ]
    with _running(subprocess.Popen([*command, *quiet], cwd=ROOT)) as process:  # noqa: S603 - our own command
        url = f"http://127.0.0.1:{port}/"
        _await(url)
        yield url, process.pid


@contextmanager
def latchkey(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, str], int]]:
    """Serve the demo; gives its URLs, its secrets and its process id."""
    command = [sys.executable, "server.py", "--demo", "--json", "--port", "0"]
    environment = {**os.environ, "LATCHKEY_DATA_DIR": str(folder)}
    started = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603
    with _running(started) as process:
        assert process.stdout  # noqa: S101 - asked for above
        told = json.loads(process.stdout.readline())
        yield told, told["secrets"], process.pid


@contextmanager
def _running(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[str]"]:
    try:
        yield process  # type: ignore[misc]
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _await(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            request = urllib.request.Request(url, b'{"query":"{ hello }"}', {"Content-Type": "application/json"})  # noqa: S310 - loopback
            urllib.request.urlopen(request, timeout=1).read()  # noqa: S310 - loopback
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def pressed(target: Target, seconds: int) -> Measure:
    """Press a target for some seconds. Raises RuntimeError if any answer is not a 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_lua(target))
        script.flush()
        before = _cpu_s(target.pid)
        command = ["wrk", "-t1", "--timeout", "10s", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, target.url]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own command
        spent = _cpu_s(target.pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    count = int(_read(r"(\d+) requests in", said))
    return Measure(float(_read(r"Requests/sec:\s+([\d.]+)", said)), spent / count * 1e6)


def _lua(target: Target) -> str:
    headers = "".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in target.headers.items()
    )
    return f'wrk.method = "{target.method}"\nwrk.body = {json.dumps(target.body)}\n{headers}'


def _read(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(text)
    return found[1]


def _cpu_s(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
