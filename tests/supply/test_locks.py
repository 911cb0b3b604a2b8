"""Nothing of others is installed but what a lock names, with its digest."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from supply.locks import NPM_PROJECTS, REQUIREMENTS, UV_PROJECTS
from supply.programs import ROOT, UV, run

INSTALLERS = re.compile(
    r"(?<!`)\b(?:pip3? (?:install|sync)|npm (?:install|i|ci|exec|add|update)|npx|yarn|pnpm|bunx?"
    r"|uvx|uv (?:sync|tool|add|run)|apt(?:-get)? install|(?:go|gem|cargo) install)\b.*"
)
PINNED = (
    re.compile(r"pip install( --\S+)* uv==\S+$"),
    re.compile(r"pip sync\b.* --require-hashes\b"),
    re.compile(r"npm ci\b"),
    re.compile(r"uv sync\b.* --frozen\b"),
    re.compile(r"apt-get install( --\S+)* \$\$missing;"),  # Debian signs it, and keeps no older one to pin
)


def installing() -> Iterator[tuple[str, str]]:
    """Every line that installs something, with the file it is in, as a shell would have it."""
    files = [ROOT / name for name in ("Makefile", "Dockerfile", ".ci/run", "console/build")]
    for path in [*files, *ROOT.glob("bench/**/*.py"), *ROOT.glob("supply/*.py"), *ROOT.glob("tests/**/conftest.py")]:
        if ".peers" not in path.parts and "node_modules" not in path.parts:
            text = re.sub(r"""["'\[\](),*]+""", " ", path.read_text()) if _is_python(path) else path.read_text()
            for line in INSTALLERS.findall(re.sub(r"[ \t]+", " ", text)):
                yield str(path.relative_to(ROOT)), line.strip()


def _is_python(path: Path) -> bool:
    return path.suffix == ".py" or path.name == "build"


def test_nothing_is_installed_unpinned() -> None:
    lines = list(installing())
    assert {"Makefile", "Dockerfile", "console/build", "bench/peers/__init__.py"} <= {name for name, _ in lines}
    assert [line for line in lines if not any(each.search(line[1]) for each in PINNED)] == []


def test_every_lock_is_known() -> None:
    def folders(name: str) -> set[Path]:
        return {each.parent for each in ROOT.rglob(name) if not {"node_modules", ".venv", ".peers"} & {*each.parts}}

    assert folders("uv.lock") == set(UV_PROJECTS)
    assert folders("package-lock.json") == set(NPM_PROJECTS)
    assert folders("requirements.txt") == {lock.parent for lock in REQUIREMENTS}


@pytest.mark.parametrize("project", UV_PROJECTS, ids=lambda path: path.name)
def test_a_lock_of_uv_is_of_its_project_with_the_digest_of_every_file(project: Path) -> None:
    checked = run(UV, "lock", "--check", "--project", project)
    assert checked.returncode == 0, checked.stderr
    lock = tomllib.loads((project / "uv.lock").read_text(encoding="utf-8"))
    for package in lock["package"]:
        if "registry" in package["source"]:
            files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
            assert files, package["name"]
            assert all(file["hash"].startswith("sha256:") for file in files), package["name"]
        else:
            assert set(package["source"]) & {"virtual", "editable"}, package["name"]


@pytest.mark.parametrize("project", NPM_PROJECTS, ids=lambda path: path.name)
def test_a_lock_of_npm_is_of_its_project_with_the_digest_of_every_package(project: Path) -> None:
    wanted = json.loads((project / "package.json").read_text(encoding="utf-8"))
    packages = json.loads((project / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    root = packages.pop("")
    for kind in ("dependencies", "devDependencies"):
        assert root.get(kind) == wanted.get(kind)
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert "ignore-scripts=true" in (project / ".npmrc").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("lock", REQUIREMENTS, ids=lambda path: path.parent.name)
def test_requirements_are_exact_and_have_digests(lock: Path) -> None:
    told = re.sub(r"^ +#.*\n|^#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line for line in told.splitlines() if line.strip()]
    assert [
        line for line in lines if not re.fullmatch(r"\S+==\S+( ; .*?)?( +--hash=sha256:[0-9a-f]{64})+ *", line)
    ] == []
    named = {re.split(r"[=<>~\[]", line)[0].lower() for line in lines}
    asked = lock.with_suffix(".in").read_text(encoding="utf-8").splitlines()
    assert {re.split(r"[=<>~\[ ]", line)[0].lower() for line in asked if line and line[0] not in "#-"} <= named
