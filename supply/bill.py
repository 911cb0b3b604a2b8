"""Writes bills of what is delivered, as CycloneDX: `python -m supply.bill FOLDER`."""

import json
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from supply.programs import ROOT, UV, npm, succeeded

SERVER, CONSOLE = "server.cdx.json", "console.cdx.json"


def write(folder: Path) -> None:
    """Write two: of the packages that the server runs on, and of those that are bundled into the console."""
    folder.mkdir(parents=True, exist_ok=True)
    server = succeeded(
        UV, "export", "--frozen", "--no-dev", "--group", "tracing", "--quiet", "--format", "cyclonedx1.5"
    )
    (folder / SERVER).write_text(server, encoding="utf-8")
    (folder / CONSOLE).write_text(_console(), encoding="utf-8")


def _console() -> str:
    """Ask npm, which names nothing that has no version: the console has the server's."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    with TemporaryDirectory() as place:
        for name in ("package.json", "package-lock.json"):
            told = json.loads((ROOT / "console" / name).read_text(encoding="utf-8"))
            told.get("packages", {}).get("", told)["version"] = version
            (Path(place) / name).write_text(json.dumps(told), encoding="utf-8")
        wanted = ("sbom", "--package-lock-only", "--omit", "dev", "--sbom-format", "cyclonedx")
        return succeeded(*npm(), *wanted, cwd=Path(place))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
