"""JupyterHub with nothing but its API: no proxy in front, no access log, one user, SQLite."""

import os
from pathlib import Path

from jupyterhub.proxy import Proxy  # type: ignore[import-not-found,unused-ignore]

FOLDER = Path(os.environ["BENCH_FOLDER"])


class NoProxy(Proxy):  # type: ignore[misc,unused-ignore]
    """Stands in for the proxy that leads browsers to notebooks; services ask the hub directly."""

    should_start = False

    async def add_route(self, *_: object) -> None:
        """Do nothing."""

    async def delete_route(self, *_: object) -> None:
        """Do nothing."""

    async def get_all_routes(self) -> dict[str, object]:
        """List none."""
        return {}


c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub's way to be configured
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = int(os.environ["BENCH_PORT"])
c.JupyterHub.db_url = f"sqlite:///{FOLDER / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(FOLDER / "jupyterhub_cookie_secret")
c.JupyterHub.log_level = "WARN"  # no access log
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_ADMIN_TOKEN"]}]
c.JupyterHub.load_roles = [{"name": "bench", "services": ["bench"], "scopes": ["admin:users", "tokens"]}]
