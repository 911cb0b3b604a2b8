"""Many processes: workers of one server, and two servers on one PostgreSQL behind nginx, under load."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.test_kills import signed_in
from tests.cli.test_server import VIEWER, ask, ended, run, started, until_ready
from tests.databases import Postgres

CREATE = 'mutation { createToken(input: { name: "ci", scope: { builtInRole: ADMIN } }) { secret token { id } } }'
REVOKE = 'mutation { revokeToken(input: { id: "%s" }) { token { state } } }'
ASKED_OFTEN = 40
"""So many connections that each of two processes gets some."""
PRESSED_S = 6
HELD_S = 1.0
PATIENCE_S = 60


def works(url: str, secret: str) -> bool:
    """Ask as a token on a connection of its own."""
    try:
        return "errors" not in ask(url, VIEWER, secret)
    except HTTPError as refused:
        if refused.code != 401:
            raise
        return False


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def status(url: str, path: str) -> int | None:
    """Ask on a connection of its own; None if nobody takes it."""
    try:
        with urllib.request.urlopen(f"{url}{path}") as answer:  # noqa: S310 - our own server
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code
    except OSError:
        return None


def children(pid: int) -> set[int]:
    """The workers of a server: those of its processes that have loaded the application."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in found if b"--multiprocessing-fork" in command(child)}


def command(pid: str) -> bytes:
    """Read the command line of a process, nothing where that has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def two_free_ports() -> tuple[int, int]:
    """Find two ports, one after the other, that nobody listens on: beneath those that connections are given."""
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311 - no secret
        with suppress(OSError):
            for each in (port, port + 1):
                socket.create_server(("127.0.0.1", each)).close()
            return port, port + 1


def told(ports: tuple[int, int]) -> list[float]:
    """Ask for the metrics at some ports; gives when those processes that tell them began."""
    began = []
    for port in ports:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
            began += [each.samples[0].value for each in families if each.name == "process_start_time_seconds"]
    return began


def test_workers_share_a_database_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    ports = two_free_ports()
    with started(tmp_path, "--workers", "2", LATCHKEY_METRICS_PORT=str(ports[0])) as process:
        url, log = until_ready(process)
        assert log.count("applied the migration `0001_initial`") == 1
        owner = signed_in(tmp_path, url)
        made = ask(url, CREATE, owner)["data"]["createToken"]
        assert all(works(url, made["secret"]) for _ in range(ASKED_OFTEN)), "both remember it now"
        ask(url, REVOKE % made["token"]["id"], owner)
        assert not any(works(url, made["secret"]) for _ in range(ASKED_OFTEN))

        until(lambda: len(told(ports)) == 2)  # each of itself
        first = told(ports)
        before = children(process.pid)
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(children(process.pid)) == 2 and min(before) not in children(process.pid))
        assert all(works(url, owner) for _ in range(ASKED_OFTEN))
        until(lambda: len(told(ports)) == 2)  # as soon as it has started, on the port of the one before
        assert max(told(ports)) > max(first)
        assert ended(process)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"latchkey.sqlite3", "latchkey.keys.json"}


@contextmanager
def hung_up() -> Iterator[None]:
    """Pass over a connection that was closed before it was asked anything: that may be done again."""
    try:
        yield
    except (ConnectionError, URLError) as error:
        if not isinstance(getattr(error, "reason", error), BrokenPipeError | ConnectionResetError):
            raise


def test_workers_are_replaced_while_others_serve_and_all_end_when_readiness_says_so(tmp_path: Path) -> None:
    answers: list[bool] = []
    over = threading.Event()
    ports = two_free_ports()
    settings = {"LATCHKEY_SHUTDOWN_DELAY_S": "3600", "LATCHKEY_METRICS_PORT": str(ports[0])}
    with started(tmp_path, "--workers", "2", **settings) as process:
        url, _ = until_ready(process)
        owner = signed_in(tmp_path, url)
        before = children(process.pid)

        def use() -> None:
            while not over.is_set():
                with hung_up():
                    answers.append(works(url, owner) and status(url, "/readyz") in {200, None})

        with ThreadPoolExecutor() as pool:
            using = [pool.submit(use) for _ in range(3)]
            process.send_signal(signal.SIGHUP)
            try:
                until(lambda: not before & children(process.pid))
            finally:
                over.set()
            for each in using:
                each.result()
        assert len(answers) > 10
        assert all(answers)
        until(lambda: len(told(ports)) == 2)  # on the ports of those before, as these let go of them

        process.send_signal(signal.SIGTERM)
        until(lambda: all(status(url, "/readyz") == 503 for _ in range(ASKED_OFTEN)))
        assert status(url, "/healthz") == 200
        assert works(url, owner)
        assert process.poll() is None
        workers = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == -signal.SIGTERM, "the second one ends all at once"
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with started(tmp_path, "--workers", "2") as process:
        until_ready(process)
        workers = children(process.pid)
        process.kill()
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_workers_that_cannot_start_end_the_server(tmp_path: Path) -> None:
    run(tmp_path, "migrate")
    (tmp_path / "latchkey.sqlite3").write_bytes(b"not a database, though it is as long as one" * 100)
    refused = run(tmp_path, "--port", "0", "--workers", "2")
    assert refused.returncode != 0


def test_the_demo_is_served_by_one_process(tmp_path: Path) -> None:
    refused = run(tmp_path, "--demo", "--workers", "2")
    assert (refused.returncode, refused.stderr) == (2, "latchkey: `--demo` is served by one process\n")


@contextmanager
def behind_nginx(folder: Path, *urls: str) -> Iterator[str]:
    """Let nginx hand each connection to the next of several servers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in names)
    servers = " ".join(f"server {url.removeprefix('http://')};" for url in urls)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; {temporary}\n"
        f"upstream latchkey {{ {servers} }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://latchkey; }} }} }}\n"
    )
    user = "user root;" if os.getuid() == 0 else ""
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr", "-g", f"daemon off; {user}"]
    with subprocess.Popen(command) as nginx:
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 30
            while True:
                with suppress(OSError):
                    urllib.request.urlopen(f"{url}/healthz").close()  # noqa: S310 - our own server
                    break
                assert time.monotonic() < until
                time.sleep(0.05)
            yield url
        finally:
            nginx.terminate()


def test_two_servers_on_one_postgresql_are_one_to_their_clients_under_load(tmp_path: Path, postgres: Postgres) -> None:
    """Eight clients use tokens all the time while others are made and revoked: nothing fails, and no yes is stale."""
    database = postgres.make("template0")
    settings = {"LATCHKEY_DATABASE_URL": database}
    asked: list[tuple[str, float, bool]] = []
    revoked: dict[str, float] = {}
    over = threading.Event()
    with started(tmp_path, **settings) as one:
        first, _ = until_ready(one)
        owner = signed_in(tmp_path, first)
        with started(tmp_path, **settings) as other, behind_nginx(tmp_path, first, until_ready(other)[0]) as url:
            living: list[dict[str, Any]] = [ask(url, CREATE, owner)["data"]["createToken"] for _ in range(10)]

            def use(number: int) -> None:
                while not over.is_set():
                    made = living[number % len(living)]
                    at_s = time.monotonic()
                    asked.append((made["token"]["id"], at_s, works(url, made["secret"])))
                    number += 1

            with ThreadPoolExecutor() as pool:
                using = [pool.submit(use, number) for number in range(8)]
                until = time.monotonic() + PRESSED_S
                while time.monotonic() < until:
                    made = living[0]
                    ask(url, REVOKE % made["token"]["id"], owner)
                    revoked[made["token"]["id"]] = time.monotonic()
                    living.append(ask(url, CREATE, owner)["data"]["createToken"])
                    time.sleep(1.5 * HELD_S)  # it goes on being used, for longer than a stale yes may last
                    living.remove(made)
                over.set()
                for each in using:
                    each.result()
    assert len(revoked) > 2
    assert len(asked) > 50
    assert not [token for token, at_s, yes in asked if yes and at_s > revoked.get(token, at_s) + HELD_S]
    assert not [token for token, at_s, yes in asked if not yes and token not in revoked]
    postgres.drop(database)
