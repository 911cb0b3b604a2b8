"""Readers of others find nothing in the code without a reason on its line: bandit, and semgrep by the house's rules."""

import json
import re
from pathlib import Path
from typing import Any

from supply.programs import HERE, ROOT, programs, run

LAYERS = ("server.py", "settings.py", "cli", "core", "models", "resolvers", "schema", "web")
RULES = HERE / "rules" / "house.yaml"
EXAMPLES = {
    "face-neither-lists-nor-writes": ("schema/tokens.py", "tokens = Token.filter(name='all')\n"),
    "secrets-take-the-same-time-to-compare": ("core/secret.py", "if given != self.digest:\n    raise Malformed\n"),
    "no-secret-is-logged": ("web/errors.py", "_log.warning('this does not work: %s', request.headers)\n"),
    "one-clock": ("resolvers/tokens.py", "from datetime import UTC, datetime\nat = datetime.now(UTC)\n"),
    "settings-are-read-in-one-place": ("cli/keys.py", "import os\npath = os.environ['LATCHKEY_KEYS_FILE']\n"),
}
"""What each rule is for, as somebody might write it."""


def test_the_rules_of_the_house_hold_and_each_finds_what_it_is_for(tmp_path: Path) -> None:
    for rule, (name, text) in EXAMPLES.items():
        path = tmp_path / rule / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    local = ("--metrics", "off", "--disable-version-check", "--oss-only", "--no-git-ignore", "--quiet", "--json")
    told = json.loads(run(programs() / "semgrep", "scan", "--config", RULES, *local, *LAYERS, tmp_path).stdout)
    assert told["errors"] == []
    found = [(Path(each["path"]), each["check_id"].rpartition(".")[2]) for each in told["results"]]
    examples = {(path.relative_to(tmp_path).parts[0], rule) for path, rule in found if path.is_relative_to(tmp_path)}
    assert [(path, rule) for path, rule in found if not path.is_relative_to(tmp_path)] == []
    assert examples == {(rule, rule) for rule in EXAMPLES}
    assert set(re.findall(r"^  - id: (\S+)$", RULES.read_text(encoding="utf-8"), re.MULTILINE)) == set(EXAMPLES)


def test_bandit_finds_nothing_that_has_no_reason_on_its_line() -> None:
    # Passwords it guesses from names, as `"token": "Token"`; ruff guesses better. Migrations stay as they are.
    what = ("--recursive", "--skip", "B105,B106,B107", "--exclude", "models/migrations", *LAYERS)
    told = json.loads(run(programs() / "bandit", "--quiet", "--format", "json", *what).stdout)
    assert told["errors"] == []
    assert len(told["results"]) > 20  # what ruff finds as well, and has its reason
    assert [
        (each["filename"], each["line_number"], each["test_id"]) for each in told["results"] if _is_bare(each)
    ] == []


def _is_bare(finding: dict[str, Any]) -> bool:
    """Say whether no line of what was found names it as ruff does, with a reason."""
    lines = (ROOT / finding["filename"]).read_text(encoding="utf-8").splitlines()
    there = [lines[number - 1] for number in finding["line_range"]]
    reason = re.compile(rf"# noqa: .*\bS{finding['test_id'].removeprefix('B')}\b.* - \S")
    return not any(reason.search(line) for line in there)
