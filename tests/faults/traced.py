"""A process under `strace`: its calls on some files fail, or are written down, to be cut off where the power is."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.servers import PATIENCE_S

_WRITTEN = "write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,ftruncate"


@contextmanager
def failing(pid: int, calls: str, error: str, paths: Sequence[Path]) -> Iterator[None]:
    """Have system calls of a process that concern some files fail, until this ends."""
    named = [word for path in paths for word in ("-P", str(path))]
    with _traced(pid, [*named, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}", "-o", "/dev/null"]):
        yield


@contextmanager
def recorded(pid: int, record: Path) -> Iterator[None]:
    """Write down what a process writes and makes durable, and what it answers."""
    told = ["-e", f"trace={_WRITTEN}", "-xx", "-s", str(1 << 20), "--decode-fds=path,socket", "-o", str(record)]
    with _traced(pid, told):
        yield


@contextmanager
def _traced(pid: int, arguments: Sequence[str]) -> Iterator[None]:
    command = ["strace", "--follow-forks", "--attach", str(pid), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            until = time.monotonic() + PATIENCE_S
            while not _is_traced(pid):
                assert strace.poll() is None, strace.stderr and strace.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.01)
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(PATIENCE_S)


def _is_traced(pid: int) -> bool:
    """Say whether every thread of a process has a tracer."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return all("TracerPid:\t0\n" not in state for state in states)


_CALL = re.compile(r"^\d+ +(\w+)\(\d+<([^>]*)>(.*)$")
_RESUMED = re.compile(r"^\d+ +<\.\.\. f(?:data)?sync resumed>.*= (-?\d+)")
_ESCAPED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_SEQUENCE = re.compile(rb'"sequence":(\d+)')


@dataclass
class Disk:
    """A file as the disk has it, and what was written since it was made durable."""

    durable: bytes
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """Where, and what; where less than nothing, the length that it is cut to."""

    def settle(self, count: int) -> None:
        """Make the first so many writes durable."""
        self.durable = self.after(self.pending[:count])
        del self.pending[:count]

    def after(self, writes: Sequence[tuple[int, bytes]]) -> bytes:
        """Say what the file would be if these writes had got to the disk."""
        content = bytearray(self.durable)
        for offset, data in writes:
            if offset < 0:
                length = int.from_bytes(data, "big")
                content = content[:length].ljust(length, b"\0")
                continue
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        return bytes(content)


@dataclass(frozen=True)
class Moment:
    """A moment at which the power may be cut: after so many calls, when this had been acknowledged."""

    number: int
    acknowledged: frozenset[int]


class Replay:
    """A record, played again call by call."""

    def __init__(self, record: Path, disks: dict[Path, Disk]) -> None:
        self._lines = record.read_text().splitlines()
        self.disks = disks
        self.acknowledged: set[int] = set()
        self._unfinished: dict[str, tuple[str, int]] = {}
        """Syncs that have begun, by thread: of which file, and how many writes came before."""

    def moments(self) -> Iterator[Moment]:
        """Play a call that changes something, and stop, again and again."""
        for number, line in enumerate(self._lines):
            if self._play(line):
                yield Moment(number, frozenset(self.acknowledged))

    def _play(self, line: str) -> bool:
        """Say whether a line is a call that changes what the disk has, or what is known to be acknowledged."""
        thread = line.partition(" ")[0]
        if resumed := _RESUMED.match(line):
            path, count = self._unfinished.pop(thread, ("", 0))
            return bool(path) and resumed[1] == "0" and self._synced(path, count)
        found = _CALL.match(line)
        if found is None:
            return False
        call, path, rest = found[1], _decoded(found[2]), found[3]
        if path.startswith(("socket:", "TCP")):
            return self._answered(rest)
        disk = self.disks.get(Path(path))
        if disk is not None and call not in {"fsync", "fdatasync"}:
            return self._written(disk, call, rest)
        if disk is not None and "<unfinished" in rest:
            self._unfinished[thread] = (path, len(disk.pending))
        return disk is not None and rest.endswith("= 0") and self._synced(path, len(disk.pending))

    def _synced(self, path: str, count: int) -> bool:
        self.disks[Path(path)].settle(count)
        return True

    def _written(self, disk: Disk, call: str, rest: str) -> bool:
        if call == "ftruncate":
            length = int(re.findall(r"\d+", rest)[0])
            disk.pending.append((-1, length.to_bytes(8, "big")))
            return True
        assert call == "pwrite64", f"a call that is not known to be made: {call}"
        data = _ESCAPED.search(rest)
        assert data is not None, rest[:200]
        offset = int(re.findall(r"\d+", rest[data.end() :])[1])
        disk.pending.append((offset, bytes.fromhex(data[1].replace("\\x", ""))))
        return True

    def _answered(self, rest: str) -> bool:
        data = b"".join(bytes.fromhex(part.replace("\\x", "")) for part in _ESCAPED.findall(rest))
        found = {int(number) for number in _SEQUENCE.findall(data)}
        self.acknowledged |= found
        return bool(found)


def _decoded(path: str) -> str:
    """Read a name as `strace -xx` writes it."""
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path
