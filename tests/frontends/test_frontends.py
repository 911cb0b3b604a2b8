"""docs/frontends.md keeps its word: each section runs as it is written, and prints what stands below its blocks."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from core.errors import Refusal
from tests.console.conftest import CHROMIUM, FLAGS
from tests.frontends.conftest import HERE, ROOT, Demo, succeeded

PAGE = (ROOT / "docs" / "frontends.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(js|json|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEGIN, BETWEEN = "-- begin --", "-- next block --"
IN_A_BROWSER = "sign-in-with-a-cookie"
FORM = "<form><input name='email' value='owner@demo.example'><input name='password' value='{password}'></form>"


class Section:
    """A section's blocks as one module, and what is expected of each of them."""

    def __init__(self, title: str, text: str) -> None:
        self.name = title.lower().replace(" ", "-")
        self.config = next((block for language, block in BLOCK.findall(text) if language == "json"), None)
        self.program, self.expected = "", list[str]()
        for language, block in BLOCK.findall(text):
            if language == "js":
                self.program += f"{block}\nconsole.log('{BETWEEN}')\n"
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
        "subscriptions",
        "server-sent-events",
    ]


def test_the_table_names_every_code_that_a_refusal_has() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
    kinds: list[type[Refusal]] = [Refusal, *Refusal.__subclasses__()]
    assert sorted(named) == sorted({kind.code for kind in kinds})
