"""The container files, which nothing here can run: linted, and the image laid out by hand and served from."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from server import main
from settings import PREFIX, Settings
from supply.programs import ROOT, programs, run
from tests.cli.test_server import READY

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
AS_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin.buffer.read()), sys.stdout)"


def instructions() -> list[tuple[str, str]]:
    """Read the Dockerfile's last stage: continued lines joined, comments left out."""
    told = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in told.rpartition("\nFROM ")[2].splitlines()[1:] if line]
    return [(word, rest) for word, rest in lines]


def only(word: str) -> str:
    (rest,) = [rest for each, rest in instructions() if each == word]
    return rest


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in only("ENV").split())


def laid_out(image: Path) -> None:
    """Put into a folder what the last stage puts into the image."""
    for word, rest in instructions():
        if word == "COPY":
            source, target = rest.removeprefix("--from=build ").split()
            path = ROOT / source.removeprefix("/latchkey/")
            to = image / "latchkey" / target / (path.name if target == "./" else "")
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.name == ".venv":
                to.symlink_to(path)
            elif path.is_dir():
                shutil.copytree(path, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, to)
    link = re.search(r"ln -s /(\S+) /(\S+)", only("RUN"))
    assert link
    (image / link[2]).parent.mkdir(parents=True)
    (image / link[2]).symlink_to(image / link[1])


def test_the_image_serves_what_is_copied_into_it_and_tells_its_health(tmp_path: Path) -> None:
    laid_out(tmp_path)
    path = f"{tmp_path}/usr/local/bin:{variables()['PATH']}".replace("/latchkey/.venv", f"{tmp_path}/latchkey/.venv")
    assert path.endswith(":$PATH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "PYTHON"))}
    env = {**clean, **variables(), "PATH": path.replace("$PATH", os.environ["PATH"])}
    env |= {"LATCHKEY_DATA_DIR": str(tmp_path / "data"), "LATCHKEY_PORT": "0", "LATCHKEY_METRICS_PORT": "0"}
    command = [*json.loads(only("ENTRYPOINT")), *json.loads(only("CMD"))]
    with subprocess.Popen(command, cwd=tmp_path / "latchkey", env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            log = ""
            for line in process.stderr:
                log += line
                if ready := READY.search(line):
                    break
            else:
                raise AssertionError(log)
            with urlopen(ready[1], timeout=60) as page:  # noqa: S310 - our own server
                assert page.read() == (ROOT / "console" / "dist" / "index.html").read_bytes()
            env["LATCHKEY_PORT"] = ready[1].rpartition(":")[2]
            check = json.loads(only("HEALTHCHECK").partition(" CMD ")[2])
            assert subprocess.run(check, env=env, check=False, timeout=60).returncode == 0
        finally:
            process.terminate()
    unhealthy = subprocess.run(check, env=env, check=False, capture_output=True, timeout=60)
    assert unhealthy.returncode == 1


def test_the_image_needs_nothing_that_is_not_copied_and_no_root() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${PYTHON}", "${PYTHON}"]
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    context = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted({name for names in copied for name in names.split()}) == sorted(context)
    assert all((ROOT / name).exists() for name in context)
    pinned = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pinned
    assert f"uv=={pinned[1]}\n" in DOCKERFILE
    named = {name.removeprefix(PREFIX).lower() for name in variables() if name.startswith(PREFIX)}
    assert named <= set(Settings.model_fields)
    assert only("VOLUME") == variables()["LATCHKEY_DATA_DIR"]
    assert only("EXPOSE") == variables()["LATCHKEY_PORT"]
    assert int(only("USER").partition(":")[0]) >= 10_000


def test_linters_find_nothing_in_the_container_files() -> None:
    linted = run(programs() / "hadolint", "Dockerfile")
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stderr
    checked = run(programs() / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def composed() -> dict[str, Any]:
    done = subprocess.run(
        [programs() / "python", "-c", AS_JSON],
        input=(ROOT / "compose.yaml").read_bytes(),
        capture_output=True,
        check=True,
    )
    composed: dict[str, Any] = json.loads(done.stdout)
    return composed


def test_the_composition_begins_as_the_page_says_and_keeps_its_secrets(
    composed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, secrets = composed["services"], composed["secrets"]
    (begin,) = [block for block in BLOCKS if "mkdir" in block]
    subprocess.run(["bash", "-ec", begin], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == sorted(secrets)
    assert {Path(each["file"]).parent.name for each in secrets.values()} == {"secrets"}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    url = Settings(_secrets_dir=tmp_path / "secrets").database_url
    password = (tmp_path / "secrets" / "postgres_password").read_text()
    assert len(password) == 32
    assert url == f"postgresql://latchkey:{password}@postgresql/latchkey"
    asked = services["postgresql"]["environment"]
    assert (asked["POSTGRES_USER"], asked["POSTGRES_DB"]) == ("latchkey", "latchkey")

    ours = services["latchkey"]
    assert {name.removeprefix(PREFIX).lower() for name in ours["environment"]} <= set(Settings.model_fields)
    assert ours["depends_on"] == {"postgresql": {"condition": "service_healthy"}}
    assert [volume.partition(":")[2] for volume in ours["volumes"]] == [only("VOLUME")]
    assert [port.rpartition(":")[2] for port in ours["ports"]] == [only("EXPOSE")]
    assert f"--stop-timeout {ours['stop_grace_period'].removesuffix('s')} " in PAGE
    assert services["postgresql"]["networks"] == ["database"]
    assert "ports" not in services["postgresql"]
    assert composed["networks"]["database"] == {"internal": True}
    assert all(re.search(r":\d", each["image"]) for each in services.values())


def test_a_setting_may_be_a_file_and_a_wrong_one_is_named_as_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("server.SECRETS", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latchkey_database_url").write_text("mysql://latchkey:hidden@localhost/latchkey\n")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("latchkey: `LATCHKEY_DATABASE_URL`: ")
    assert "hidden" not in said
    monkeypatch.setenv("LATCHKEY_DATABASE_URL", "sqlite:///var/lib/tokens.sqlite3")
    assert Settings(_secrets_dir=tmp_path).database_url == "sqlite:///var/lib/tokens.sqlite3"


def test_the_page_says_what_the_image_does() -> None:
    for name, value in variables().items():
        assert not name.startswith(PREFIX) or f"`{name}={value}`" in PAGE
    assert f"user and group {only('USER').partition(':')[0]}" in PAGE
