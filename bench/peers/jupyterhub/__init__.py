"""JupyterHub: what its services ask to check a token, `GET /hub/api/user`."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import Target, answered, answers_at, checked, free_port, served
from bench.peers import HERE, environment

CONFIGURATION = HERE / "jupyterhub" / "jupyterhub_config.py"


def installed() -> None:
    """Install JupyterHub."""
    environment("jupyterhub")


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, Target]]:
    """Serve the hub with one user, who has a token."""
    port, admin = free_port(), secrets.token_hex(32)
    told = {"BENCH_PORT": str(port), "BENCH_FOLDER": str(folder), "BENCH_ADMIN_TOKEN": admin}
    command = (environment("jupyterhub") / "jupyterhub", "--config", CONFIGURATION)
    with served(command, folder / "jupyterhub.log", answers_at(port, "/hub/health"), told) as pid:
        url = f"http://127.0.0.1:{port}/hub/api"
        token = _token(url, admin)
        user = Target(f"{url}/user", (pid,), {"Authorization": f"token {token}"}, method="GET")
        yield {"jupyterhub": checked(user, '"name": "wanda"', '"kind": "user"', '"scopes"')}


def _token(url: str, admin: str) -> str:
    """Make the user and a token of theirs."""
    headers = {"Authorization": f"token {admin}", "Content-Type": "application/json"}
    answered(Target(f"{url}/users/wanda", (), headers))
    return str(json.loads(answered(Target(f"{url}/users/wanda/tokens", (), headers, "{}")))["token"])
