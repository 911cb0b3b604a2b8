"""The rules in docs/scanning find our secrets and nothing else, in the hands of a real scanner."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from core.secret import Secret, SecretKind
from tests.walk import ROOT, prepared, walk

RULES = ROOT / "docs" / "scanning"
KINGFISHER = Path(sys.executable).parent / "kingfisher"
PLACES: tuple[Callable[[str], str], ...] = (
    lambda secret: secret,
    lambda secret: f"TOKEN={secret}",
    lambda secret: f'{{"token": "{secret}"}}',
    lambda secret: f"Authorization: Bearer {secret}",
    lambda secret: f"https://latchkey.example/#/invite/{secret}",
    lambda secret: f"curl 'https://x.example/?token={secret}&y=1'",
    lambda secret: f"- {secret}, the old one.",
)
"""Where a secret is left lying about."""


def other(character: str) -> str:
    return "0" if character != "0" else "1"


def look_alikes(secret: str) -> list[str]:
    """What looks like a secret more or less, and is none."""
    return [
        secret[:-1] + other(secret[-1]),
        secret[:4] + other(secret[4]) + secret[5:],
        secret[:-1],
        secret + "x",
        "x" + secret,
        "_" + secret,
        secret.upper(),
        f"lkx_{secret[4:]}",
        f"ghp_{secret[4:]}",
        f"lkp-{secret[4:]}",
        secret[4:],
        "lkp_" + "x" * 36,
    ]


@pytest.fixture
def left(tmp_path: Path) -> tuple[Path, set[str]]:
    """A folder in which secrets of every kind were left lying about, among look-alikes; and the secrets."""
    secrets = [(place, Secret.mint(kind).text) for kind in SecretKind for place in PLACES]
    (tmp_path / "secrets.txt").write_text("\n".join(place(each) for place, each in secrets), encoding="utf-8")
    near = [place(each) for kind in SecretKind for each in look_alikes(Secret.mint(kind).text) for place in PLACES]
    (tmp_path / "look-alikes.txt").write_text("\n".join(near), encoding="utf-8")
    return tmp_path, {each for _, each in secrets}


def kingfisher(*arguments: str) -> subprocess.CompletedProcess[str]:
    rules = ("--rules-path", str(RULES / "kingfisher.yml"), "--load-builtins=false", "--no-update-check")
    return subprocess.run([KINGFISHER, *arguments, *rules], capture_output=True, text=True, check=False, timeout=120)


def test_kingfisher_finds_secrets_with_a_right_checksum_alone(left: tuple[Path, set[str]]) -> None:
    folder, secrets = left
    scanned = kingfisher("scan", "--no-validate", "--no-rule-cache", "--no-dedup", "--format", "json", str(folder))
    report = json.loads(scanned.stdout.splitlines()[0])
    assert {each["finding"]["snippet"] for each in report["findings"]} == secrets
    assert {Path(each["finding"]["path"]).name for each in report["findings"]} == {"secrets.txt"}


def test_kingfisher_finds_nothing_wrong_with_the_rule() -> None:
    checked = kingfisher("rules", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rule_of_gitleaks_finds_every_secret(left: tuple[Path, set[str]]) -> None:
    folder, secrets = left
    (rule,) = tomllib.loads((RULES / "gitleaks.toml").read_text(encoding="utf-8"))["rules"]
    pattern, text = re.compile(rule["regex"]), (folder / "secrets.txt").read_text(encoding="utf-8")
    assert {found[rule["secretGroup"]] for found in pattern.finditer(text)} == secrets
    assert set(rule["keywords"]) == set(SecretKind)
    for near in look_alikes(Secret.mint(SecretKind.PERSONAL).text)[2:-1]:
        assert pattern.search(near) is None


def test_the_page_keeps_its_word(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    (folder / "docs").symlink_to(ROOT / "docs")
    walk((ROOT / "docs" / "leaks.md").read_text(encoding="utf-8"), folder)
