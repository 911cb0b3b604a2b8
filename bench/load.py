"""Servers under load: each in a process of its own on one core, pressed by `wrk` on another for a bounded time."""

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
CONNECTIONS = 64
PATIENCE_S = 60.0

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _CORES[0], _CORES[-1]

_REPORTING = """
function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format('{"count":%d,"us":%d,"failed":%d,"p50":%f,"p90":%f,"p99":%f}\\n',
    summary.requests, summary.duration,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
"""
_VARYING = """
local requests, last = {}, 0
function init()
  local headers = {}
  for name, value in pairs(wrk.headers) do headers[name] = value end
  for value in io.lines(%s) do
    headers[%s] = value
    requests[#requests + 1] = wrk.format(nil, nil, headers)
  end
end
function request()
  last = last %% #requests + 1
  return requests[last]
end
"""
_PAUSING = """
function delay() return math.random(0, %d) end
"""


@dataclass(frozen=True, slots=True)
class Varied:
    """A header that is another with each request, going through all values again and again."""

    header: str
    values: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """What is pressed: where, with which body and headers, and whose CPU time counts, with their children's."""

    url: str
    pids: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    method: str = "POST"
    varied: Varied | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """Requests a second, microseconds of the server's CPU for each, and how long they took."""

    requests_per_s: float
    cpu_us: float
    p50_ms: float
    p90_ms: float
    p99_ms: float

    @classmethod
    def median(cls, taken: "Sequence[Measure]") -> "Measure":
        """Take the median of each figure by itself."""
        return cls(*(statistics.median(column) for column in zip(*(asdict(m).values() for m in taken), strict=True)))


def say(text: str) -> None:
    """Say something to whoever runs the benches."""
    print(text, flush=True)  # noqa: T201 - what they are for


def leave_tidily() -> None:
    """Let SIGTERM end this process like an error, so that whatever it started and wrote is taken away."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def served(
    command: Sequence[str | Path], log: Path, answers: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server on its core until the block ends; gives its process id as soon as `answers` says yes."""
    leave_tidily()
    pinned = ["taskset", "--cpu-list", str(SERVER_CORE), *map(str, command)]
    with log.open("w") as told:
        process = subprocess.Popen(  # noqa: S603 - commands of the benches alone
            pinned,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=told,
            stderr=told,
            stdin=subprocess.DEVNULL,
        )
        try:
            _await(answers, process, log)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(answers: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < end:
        try:
            if answers():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not answer:\n{log.read_text()[-2_000:]}")


def answers_at(port: int, path: str = "/") -> Callable[[], bool]:
    """Say whether HTTP is answered on a port, whatever the answer is, but that it is not there yet."""

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status != http.HTTPStatus.SERVICE_UNAVAILABLE
        finally:
            connection.close()

    return answers


@contextmanager
def contender(name: str, folder: Path) -> Iterator[Target]:
    """Serve an application of `bench.contenders` with uvicorn, as Latchkey itself is served."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"bench.contenders.{name}:app", "--port", str(port)]
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
    with served([*command, *quiet], folder / f"{name}.log", answers_at(port)) as pid:
        yield Target(f"http://127.0.0.1:{port}/", (pid,))


def answered(target: Target) -> bytes:
    """Ask once. Raises RuntimeError unless the answer is a 200 or 201."""
    parts = urlsplit(target.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_S)
    headers = dict(target.headers)
    if target.varied:
        headers[target.varied.header] = target.varied.values[0]
    try:
        connection.request(target.method, f"{parts.path}?{parts.query}".rstrip("?"), target.body or None, headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status not in {http.HTTPStatus.OK, http.HTTPStatus.CREATED}:
        raise RuntimeError(f"{target.url} answers {response.status}: {body[:500].decode(errors='replace')}")
    return body


def checked(target: Target, *parts: str) -> Target:
    """See that the whole answer is what is measured: that it holds each of some texts."""
    said = answered(target).decode()
    missing = [part for part in parts if part not in said]
    if missing or '"errors"' in said:
        raise RuntimeError(f"{target.url} lacks {missing} in {said[:2_000]}")
    return target


def pressed(target: Target, seconds: int, *, connections: int = CONNECTIONS, pause_ms: int = 0) -> Measure:
    """Press a target for some seconds, with each connection pausing so long on average between two requests.

    Raises RuntimeError if any answer is an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "wrk.lua")
        script.write_text(_script(target, Path(folder, "values"), pause_ms))
        before = cpu_s(target.pids)
        wrk = ["taskset", "--cpu-list", str(LOAD_CORE), "wrk", "--threads", "1", "--timeout", "10s"]
        asked = ["--connections", str(connections), "--duration", f"{seconds}s", "--script", str(script), target.url]
        said = subprocess.run([*wrk, *asked], check=True, capture_output=True, text=True).stdout  # noqa: S603 - as above
        spent = cpu_s(target.pids) - before
    told = json.loads(said.splitlines()[-1])
    if told["failed"] or not told["count"]:
        raise RuntimeError(f"{target.url}: {said}")
    per_s = told["count"] / told["us"] * 1e6
    return Measure(per_s, spent / told["count"] * 1e6, *(told[name] / 1e3 for name in ("p50", "p90", "p99")))


def alternating(
    targets: Mapping[str, Target], rounds: int, seconds: int, *, connections: int = CONNECTIONS, pause_ms: int = 0
) -> dict[str, Measure]:
    """Press targets in turns, so that a busy machine is busy for all; gives each one's medians."""
    taken: dict[str, list[Measure]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            taken[name].append(pressed(target, seconds, connections=connections, pause_ms=pause_ms))
    return {name: Measure.median(measures) for name, measures in taken.items()}


def _script(target: Target, values: Path, pause_ms: int) -> str:
    headers = "".join(f"wrk.headers[{_lua(name)}] = {_lua(value)}\n" for name, value in target.headers.items())
    script = f"wrk.method = {_lua(target.method)}\nwrk.body = {_lua(target.body)}\n{headers}{_REPORTING}"
    if target.varied:
        values.write_text("\n".join(target.varied.values))
        script += _VARYING % (_lua(str(values)), _lua(target.varied.header))
    if pause_ms:
        script += _PAUSING % (2 * pause_ms)
    return script


def _lua(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def cpu_s(pids: Sequence[int]) -> float:
    """Add up the CPU time of processes and all their children, those that are gone included."""
    total = 0.0
    for pid in pids:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(tick) for tick in ticks[11:15]) / os.sysconf("SC_CLK_TCK")
        total += cpu_s([int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()])
    return total


def resident_bytes(pid: int) -> int:
    """Read how much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fsyncs_per_s(folder: Path, seconds: float) -> float:
    """Measure how often a second the disk beneath a folder makes a page durable that is there already.

    That is what a commit to a write-ahead log costs at least.
    """
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        page = os.urandom(4096)
        os.pwrite(file.fileno(), page, 0)
        os.fsync(file.fileno())
        begin, count = time.monotonic(), 0
        while time.monotonic() - begin < seconds:
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.monotonic() - begin)
