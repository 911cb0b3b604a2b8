"""docs/frontends.md and docs/python.md keep their word: sections run as they are written, and print what they say."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import sync_playwright

from core.errors import Refusal
from supply.programs import programs
from tests.console.conftest import CHROMIUM, FLAGS
from tests.frontends.conftest import HERE, ROOT, Demo, succeeded

PAGE = (ROOT / "docs" / "frontends.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(js|python|json|toml|graphql|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEGIN, BETWEEN = "-- begin --", "-- next block --"
IN_A_BROWSER = "sign-in-with-a-cookie"
FORM = "<form><input name='email' value='owner@demo.example'><input name='password' value='{password}'></form>"
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { secret } }"
FILES = {"toml": "pyproject.toml", "graphql": "operations.graphql"}
"""Where a block belongs that is not a program."""


class Section:
    """A section's blocks as one module, and what is expected of each of them."""

    def __init__(self, title: str, text: str) -> None:
        self.name = title.lower().replace(" ", "-")
        self.config = next((block for language, block in BLOCK.findall(text) if language == "json"), None)
        self.files = {FILES[language]: block for language, block in BLOCK.findall(text) if language in FILES}
        self.commands = "".join(block for language, block in BLOCK.findall(text) if language == "sh")
        self.program, self.expected = "", list[str]()
        for language, block in BLOCK.findall(text):
            if language in {"js", "python"}:
                say = "console.log" if language == "js" else "print"
                self.program += f"{block}\n{say}('{BETWEEN}')\n"
                self.expected.append("")
            elif language == "text":
                self.expected[-1] = block

    @property
    def module(self) -> str:
        """The program; what an imported module prints comes before its beginning."""
        imports, rest = re.findall(r"^import .*$", self.program, re.MULTILINE), self.program
        last = rest.rindex(imports[-1]) + len(imports[-1]) if imports else 0
        return f"{rest[:last]}\nconsole.log('{BEGIN}')\n{rest[last:]}"

    def agree(self, printed: str) -> None:
        """Compare what each block printed with what is expected of it, in which `…` is anything on one line."""
        said = printed.split(f"{BETWEEN}\n")[:-1]
        assert len(said) == len(self.expected), printed
        for given, wanted in zip(said, self.expected, strict=True):
            pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
            assert re.fullmatch(pattern, given), f"expected\n{wanted}\ngot\n{given}"


SECTIONS = [Section(*part.split("\n", 1)) for part in PAGE.split("\n## ")[1:]]
RUNNING = [section for section in SECTIONS if section.program]
IN_PYTHON = [Section(*part.split("\n", 1)) for part in PYTHON.split("\n## ")[1:]]


@pytest.fixture(scope="session")
def frontend(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every section as a module and Latchkey's schema, for which Relay's compiler has run."""
    folder = tmp_path_factory.mktemp("frontend")
    shutil.copy(ROOT / "schema" / "schema.graphql", folder)
    for section in RUNNING:
        (folder / f"{section.name}.js").write_text(section.module)
        if section.config:
            (folder / f"{section.name}.config.json").write_text(section.config)
    succeeded([node, str(HERE / "node_modules" / "relay-compiler" / "cli.js"), "relay.config.json"], folder)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    return folder


@pytest.mark.parametrize("section", [each for each in RUNNING if each.name != IN_A_BROWSER], ids=lambda each: each.name)
def test_a_section_runs_as_it_is_written(section: Section, frontend: Path, node: str, demo: Demo) -> None:
    command = [node, str(HERE / "run.mjs"), str(frontend), section.name]
    printed = succeeded(command, frontend, LATCHKEY=demo.url, PASSWORD=demo.password)
    section.agree(printed.rpartition(f"{BEGIN}\n")[2])


@pytest.mark.parametrize("section", IN_PYTHON, ids=lambda each: each.name)
def test_a_section_for_python_runs_as_it_is_written(section: Section, demo: Demo, tmp_path: Path) -> None:
    """What it installs is installed; gql is ours, in an environment with the server's."""
    shutil.copy(ROOT / "schema" / "schema.graphql", tmp_path)
    for name, text in {**section.files, "program.py": section.program}.items():
        (tmp_path / name).write_text(text)
    commands = re.sub(r"^pip install .*\n", "", section.commands, flags=re.MULTILINE)
    folder = Path(sys.executable).parent if section.name == "gql" else programs()
    named = {"LATCHKEY_URL": demo.url, "LATCHKEY_TOKEN": signed_in(demo), "PATH": f"{folder}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-ec", f"{commands}\necho '{BEGIN}'\npython program.py"],
        cwd=tmp_path,
        env={**os.environ, **named},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    section.agree(ran.stdout.rpartition(f"{BEGIN}\n")[2])


def signed_in(demo: Demo) -> str:
    """The secret of a session of the owner's."""
    asked = {"input": {"email": "owner@demo.example", "password": demo.password}}
    answer = httpx2.post(f"{demo.url}/graphql", json={"query": SIGN_IN, "variables": asked})
    secret: str = answer.json()["data"]["signIn"]["secret"]
    return secret


@pytest.fixture
def printed_in_a_browser(demo: Demo) -> Iterator[str]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; `apt-get install chromium` brings one")
    section = next(section for section in SECTIONS if section.name == IN_A_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        printed: list[str] = []
        page.on("console", lambda message: printed.append(f"{message.text}\n") if message.type == "log" else None)
        page.goto(f"{demo.url}/healthz")
        page.set_content(FORM.format(password=demo.password))
        page.evaluate(f"(async () => {{ {section.program} }})()")
        yield "".join(printed)
        browser.close()


def test_signing_in_with_a_cookie_runs_in_a_browser(printed_in_a_browser: str) -> None:
    next(section for section in SECTIONS if section.name == IN_A_BROWSER).agree(printed_in_a_browser)


def test_every_section_that_shows_code_is_run() -> None:
    assert [section.name for section in RUNNING] == [
        "sign-in",
        IN_A_BROWSER,
        "apollo-client",
        "urql",
        "relay",
        "graphql-request",
        "subscriptions",
        "server-sent-events",
    ]
    assert [section.name for section in IN_PYTHON] == ["gql", "ariadne-codegen", "sgqlc"]


def test_the_table_names_every_code_that_a_refusal_has() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
    kinds: list[type[Refusal]] = [Refusal, *Refusal.__subclasses__()]
    assert sorted(named) == sorted({kind.code for kind in kinds})
