"""Pages that keep their word: the `sh` blocks of one run in a row as they are written, and say what stands beneath."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from settings import PREFIX

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BETWEEN = "-- next block --"
PATIENCE_S = 240


def pattern(expected: str) -> str:
    """Read expected output as a regular expression in which `…` is anything on one line."""
    return ".*".join(re.escape(part) for part in expected.split("…"))


def prepared(folder: Path) -> Path:
    """Put the installed command into a folder, to which a walk may write."""
    subprocess.run(["make", "--silent", ".venv/bin/latchkey"], cwd=ROOT, check=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def walk(page: str, folder: Path) -> None:
    """Run a page's blocks in a folder that is prepared, and hold what they say to the `text` blocks after them."""
    script, expected = f"trap 'kill $(jobs -p)' EXIT\necho '{BETWEEN}'\n", [""]
    for language, text in BLOCK.findall(page):
        if language == "sh":
            script += f"{text}\necho '{BETWEEN}'\n"
            expected.append("")
        else:
            expected[-1] = text
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}

    with subprocess.Popen(
        ["bash", "-e"],
        cwd=folder,
        env=clean,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as bash:
        try:
            out, err = bash.communicate(script, PATIENCE_S)
        finally:
            with suppress(ProcessLookupError):  # a server behind a function of the page is none of the shell's jobs
                os.killpg(bash.pid, signal.SIGTERM)

    said = out.split(f"{BETWEEN}\n")[:-1]
    assert len(said) == len(expected), f"{out}\n{err}"
    for given, wanted in zip(said, expected, strict=True):
        assert re.fullmatch(pattern(wanted), given), f"expected\n{wanted}\ngot\n{given}"
