"""Django REST framework with django-rest-knox: a view that tells the user of a token."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.load import Target, answers_at, checked, free_port, served
from bench.peers import HERE, environment, run

SOURCES = HERE / "knox"
SERVERS = {
    "gunicorn": ("--workers=1", "--worker-class=gthread", "--threads=4", "--keep-alive=60", "--bind=127.0.0.1:{port}"),
    "uvicorn": ("--interface=asgi3", "--no-access-log", "--log-level=warning", "--port={port}"),
}
APPLICATIONS = {"gunicorn": "tokens:wsgi", "uvicorn": "tokens:asgi"}


def installed() -> None:
    """Install Django and what belongs to it."""
    environment("knox")


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, Target]]:
    """Serve the view with gunicorn and with uvicorn, each a single process, on one SQLite database with one user."""
    programs = environment("knox")
    told = {"BENCH_FOLDER": str(folder), "BENCH_PASSWORD": secrets.token_hex(16), "PYTHONPATH": str(SOURCES)}
    run("env", *(f"{name}={value}" for name, value in told.items()), programs / "python", SOURCES / "tokens.py")
    headers = {"Authorization": f"Token {(folder / 'knox-token').read_text()}"}
    with ExitStack() as stack:
        targets = {}
        for server, options in SERVERS.items():
            port = free_port()
            words = [option.format(port=port) for option in (*options, APPLICATIONS[server])]
            log = folder / f"knox-{server}.log"
            pid = stack.enter_context(served([str(programs / server), *words], log, answers_at(port), told))
            asked = Target(f"http://127.0.0.1:{port}/user", (pid,), headers, method="GET")
            targets[f"knox_{server}"] = checked(asked, '"username":"wanda"')
        yield targets
