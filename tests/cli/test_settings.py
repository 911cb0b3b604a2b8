"""The settings: read from variables, and where one is wrong, named."""

from pathlib import Path

import pytest

from core.vocabulary import BuiltInRole
from server import main
from settings import Settings


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LATCHKEY_{name.upper()}", raising=False)


def test_without_variables_all_lies_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.database == f"sqlite://{tmp_path}/data/latchkey.sqlite3"
    assert settings.keys == tmp_path / "data" / "latchkey.keys.json"
    assert (settings.host, settings.port, settings.account) == ("127.0.0.1", 8000, "main")


def test_keys_lie_beside_the_database_wherever_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHKEY_DATABASE_URL", "sqlite:///var/lib/latchkey/tokens.sqlite3")
    assert Settings().keys == Path("/var/lib/latchkey/latchkey.keys.json")


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHKEY_CORS_ORIGINS", "https://a.example, http://localhost:5173/ ,")
    assert Settings().cors_origins == ("https://a.example", "http://localhost:5173")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHKEY_PORT", "")
    assert Settings().port == 8000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PUBLIC_URL", "tokens.example.com"),
        ("PUBLIC_URL", "https://example.com/tokens"),
        ("PUBLIC_URL", "https://example.com:99999"),
        ("PUBLIC_URL", "https://example.com:port"),
        ("PUBLIC_URL", "https://[example.com"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example, null"),
        ("CORS_ORIGINS", "https://a.example:65536"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        ("WEBHOOK_NETWORKS", "10.0.0.0/8,anywhere"),
        ("WEBHOOK_NETWORKS", "10.0.0.1/8"),
        ("MAIL_FROM", "Latchkey"),
        ("SMTP_URL", "smtp://localhost"),
        ("SMTP_URL", "smtp://user:password@localhost"),
        ("DATABASE_URL", "mysql://localhost/latchkey"),
        ("SESSION_LIFETIME_S", "0"),
        ("OIDC_ISSUER", "http://id.example.com"),
        ("OIDC_ISSUER", "https://id.example.com/?realm=staff"),
        ("OIDC_ISSUER", "https://staff@id.example.com"),
        ("OIDC_ISSUER", "id.example.com"),
        ("OIDC_CLIENT_ID", "latchkey"),
        ("OIDC_CREATE", "example.com, *"),
        ("OIDC_CREATE", "ada@example.com"),
        ("OIDC_ROLE", "admin"),
        ("OIDC_ROLE", "writer"),
        ("OIDC_ACCOUNT", "Main"),
        ("OIDC_TRUST_EMAIL", "true"),
        ("PASSWORD_SIGN_IN", "false"),
        ("MAX_BODY_BYTES", "-1"),
        ("MAX_SOCKETS", "0"),
        ("MAX_SOCKET_OPERATIONS", "0"),
        ("SOCKET_INIT_TIMEOUT_S", "0"),
        ("SOCKET_IDLE_TIMEOUT_S", "-1"),
        ("MAX_QUERY_S", "0"),
        ("MAX_RUNNING", "0"),
        ("MAX_COST_A_MINUTE", "none"),
        ("INTROSPECTION", "everybody"),
        ("AUDIT_HEADS_SYSLOG", "logs.example.com:514"),
        ("AUDIT_HEADS_SYSLOG", "tcp://logs.example.com"),
        ("AUDIT_HEADS_SYSLOG", "unix:"),
        ("AUDIT_HEADS_URL", "http://logs.example.com/heads"),
        ("AUDIT_ENTRIES_SYSLOG", "tcp://logs.example.com"),
        ("AUDIT_RETENTION_DAYS", "0"),
        ("METRICS_PORT", "65536"),
        ("TRACES", "everything"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "debug"),
    ],
)
def test_what_is_wrong_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(f"LATCHKEY_{variable}", value)
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"latchkey: `LATCHKEY_{variable}`: ")
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_provider_takes_a_client_and_domains_are_compared_as_addresses_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LATCHKEY_OIDC_ISSUER", "https://id.example.com/realms/staff")
    assert main([]) == 2
    assert capsys.readouterr().err == "latchkey: `LATCHKEY_OIDC_CLIENT_ID`: is needed with `LATCHKEY_OIDC_ISSUER`\n"
    monkeypatch.setenv("LATCHKEY_OIDC_CLIENT_ID", "latchkey")
    monkeypatch.setenv("LATCHKEY_OIDC_CREATE", "Example.COM, stra\u00dfe.example,")
    monkeypatch.setenv("LATCHKEY_OIDC_ROLE", "no_access")
    monkeypatch.setenv("LATCHKEY_PASSWORD_SIGN_IN", "false")
    settings = Settings()
    assert settings.relying
    assert (settings.relying.name, settings.relying.email_claim) == ("id.example.com", "email")
    admission = settings.admission
    assert (admission.joined_key, admission.role) == ("main", BuiltInRole.NO_ACCESS)
    assert admission.domains == ("example.com", "stra\u00dfe.example")
    assert not settings.password_sign_in


def test_an_option_that_is_wrong_is_named_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "-1"]) == 2
    assert capsys.readouterr().err.startswith("latchkey: `--port`: ")


def test_help_says_all_commands_and_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("--demo", "--json", "--port", "--host", "serve", "migrate", "account", "member"):
        assert word in said
    for name in Settings.model_fields:
        assert f"LATCHKEY_{name.upper()}" in said
