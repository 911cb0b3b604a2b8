"""The bills of what is delivered are CycloneDX, and name all of it with its digests."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from supply import bill
from supply.programs import ROOT, programs

VALIDATE = """
import json
import sys
from pathlib import Path

from cyclonedx import schema
from jsonschema import Draft7Validator
from referencing import Registry, Resource

PLACE = "http://cyclonedx.org/schema/"
known = {path.name: json.loads(path.read_text()) for path in (Path(schema.__file__).parent / "_res").glob("*.json")}
registry = Registry().with_resources((PLACE + name, Resource.from_contents(each)) for name, each in known.items())
for path in sys.argv[1:]:
    bill = json.loads(Path(path).read_text())
    Draft7Validator(known[f"bom-{bill['specVersion']}.SNAPSHOT.schema.json"], registry=registry).validate(bill)
"""
"""What validates a bill by the schema of its version, with the schemas that one refers to, and none from elsewhere."""


def test_the_bills_name_what_the_server_and_the_console_are_made_of(tmp_path: Path) -> None:
    bill.write(tmp_path)
    server, console = tmp_path / bill.SERVER, tmp_path / bill.CONSOLE
    command = [str(word) for word in (programs() / "python", "-c", VALIDATE, server, console)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[><=\[]", each)[0] for each in told} <= names(server)
    assert not {"pytest", "playwright"} & names(server)
    wanted = json.loads((ROOT / "console" / "package.json").read_text())
    assert {name.rpartition("/")[2] for name in wanted["dependencies"]} <= {
        n.rpartition("/")[2] for n in names(console)
    }
    assert "vite" not in names(console)


def names(path: Path) -> set[str]:
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert all(each["purl"].startswith(("pkg:pypi/", "pkg:npm/")) for each in told["components"])
    return {each["name"] for each in told["components"]}
