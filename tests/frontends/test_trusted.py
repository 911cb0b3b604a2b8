"""The manifest that Relay's compiler writes is served."""

import json
import shutil
from pathlib import Path

from schema import schema
from tests.frontends.conftest import HERE, ROOT, succeeded
from tests.frontends.test_frontends import SECTIONS
from web.execution import Engine, Parameters
from web.limits import Limits
from web.trusted import Trusted

PROGRAM = """
import { graphql } from 'relay-runtime'
graphql`query trustedViewerQuery { viewer { member { ...trustedMember } } }`
graphql`fragment trustedMember on Member { id name }`
"""


def test_a_manifest_of_relays_is_served(tmp_path: Path, node: str) -> None:
    (section,) = [each for each in SECTIONS if each.name == "trusted-documents"]
    (tmp_path / "relay.config.json").write_text(section.config or "")
    (tmp_path / "trusted.js").write_text(PROGRAM)
    (tmp_path / "operations.json").write_text("{}")
    shutil.copy(ROOT / "schema" / "schema.graphql", tmp_path)
    succeeded([node, str(HERE / "node_modules" / "relay-compiler" / "cli.js"), "relay.config.json"], tmp_path)

    trusted = Trusted.read(tmp_path / "operations.json", only=True)
    Engine(schema, Limits(), trusted=trusted)
    ((id_, text),) = json.loads((tmp_path / "operations.json").read_text()).items()
    assert "trustedViewerQuery" in text
    assert trusted.text(Parameters.parse({"doc_id": id_}).document_id) == text
    assert trusted.text(f"sha256:{id_}") == text
