"""Asks the registries what is known to be wrong with anything that is locked: `python -m supply.audit`.

Ends with 1 if something is vulnerable and not in `accepted.json`, and with 2 if somebody could not be asked, which is
no answer: `--offline-is-fine` is for where no registry that tells is reached, and still says so.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from supply.locks import NPM_PROJECTS, REQUIREMENTS, UV_PROJECTS
from supply.programs import HERE, ROOT, UV, Done, npm, programs, run, succeeded

ACCEPTED = HERE / "accepted.json"
"""Advisories that do not concern us, each with the reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A package of a lock that is known to be vulnerable."""

    package: str
    advisory: str
    names: tuple[str, ...]
    """What else the advisory is known as."""

    def is_accepted(self, accepted: dict[str, str]) -> bool:
        """Say whether somebody wrote down why it does not concern us."""
        return any(name in accepted for name in (self.advisory, *self.names))


Ask = Callable[[Path], list[Finding]]


class NotAskedError(Exception):
    """Nobody told whether all in a lock is well. The message says why, and `found` is what was told all the same."""

    def __init__(self, message: str, found: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.found = list(found)


class NotToldError(NotAskedError):
    """The registry tells nothing at all: it need not be asked about further locks."""


def python(requirements: Path) -> list[Finding]:
    """Ask PyPI about hashed requirements. Raises `NotAskedError`."""
    what = ("--requirement", requirements, "--require-hashes", "--disable-pip", "--vulnerability-service", "pypi")
    return read_pip_audit(run(programs() / "pip-audit", *what, "--format", "json", "--progress-spinner", "off"))


def read_pip_audit(done: Done) -> list[Finding]:
    """Read what pip-audit said."""
    try:
        told = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise NotToldError(_last(done.stderr)) from None
    skipped = [each["skip_reason"] for each in told if "skip_reason" in each]
    if skipped and len(skipped) == len(told):
        raise NotToldError(f"of none of its {len(told)} packages it is told what is known: {skipped[0]}")
    findings = [
        Finding(f"{each['name']} {each['version']}", found["id"], tuple(found.get("aliases", ())))
        for each in told
        for found in each.get("vulns", ())
    ]
    if skipped:
        raise NotAskedError("; ".join(skipped), findings)
    return findings


def node(folder: Path) -> list[Finding]:
    """Ask npm's registry about the lock in a folder. Raises `NotAskedError`."""
    once = ("--fetch-retries", "0")
    return read_npm_audit(run(*npm(), "audit", "--package-lock-only", "--json", *once, cwd=folder))


def read_npm_audit(done: Done) -> list[Finding]:
    """Read what npm said: it names packages, and behind each the advisories or the packages that have one."""
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise NotToldError(_last(done.stderr)) from None
    if "vulnerabilities" not in told:
        raise NotToldError(told.get("message") or _last(done.stderr))
    return [
        Finding(f"{cause['name']} {cause['range']}", cause["url"].rpartition("/")[2], (cause["title"],))
        for package in told["vulnerabilities"].values()
        for cause in package["via"]
        if isinstance(cause, dict)
    ]


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["it said nothing"])[-1]


def locks() -> Iterator[tuple[str, Ask, Path]]:
    """Give every lock with its name and how to ask about it: a short one first, since it may stay the only one."""
    for requirements in REQUIREMENTS:
        yield _name(requirements), python, requirements
    with TemporaryDirectory() as folder:
        for number, project in enumerate(UV_PROJECTS):
            exported = Path(folder) / f"{number}.txt"
            what = ("--project", project, "--frozen", "--all-groups", "--no-emit-project", "--quiet")
            exported.write_text(succeeded(UV, "export", *what, "--format", "requirements.txt"), encoding="utf-8")
            yield _name(project / "uv.lock"), python, exported
    for project in NPM_PROJECTS:
        yield _name(project / "package-lock.json"), node, project


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def main(typed: Sequence[str]) -> int:
    """Audit every lock; returns the exit status."""
    accepted: dict[str, str] = json.loads(ACCEPTED.read_text(encoding="utf-8"))
    vulnerable = not_asked = 0
    silent: set[Ask] = set()
    for name, ask, what in locks():
        try:
            found = _told(ask, what, silent)
        except NotAskedError as problem:
            not_asked += 1
            _say(f"NOT AUDITED: {name}: {problem}")
            found = problem.found
        else:
            _say(f"audited: {name}: {sum(each.is_accepted(accepted) for each in found)} accepted")
        concerning = [each for each in found if not each.is_accepted(accepted)]
        vulnerable += len(concerning)
        for each in concerning:
            _say(f"  VULNERABLE: {each.package}: {each.advisory} {' '.join(each.names)}")
    if vulnerable:
        return 1
    return 2 if not_asked and "--offline-is-fine" not in typed else 0


def _told(ask: Ask, what: Path, silent: set[Ask]) -> list[Finding]:
    """Ask, unless it was asked before and told nothing."""
    if ask in silent:
        raise NotAskedError("likewise")
    try:
        return ask(what)
    except NotToldError:
        silent.add(ask)
        raise


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
