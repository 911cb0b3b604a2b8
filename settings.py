"""The settings: the `LATCHKEY_*` variables, read here and nowhere else."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cli import serving
from core.errors import Invalid
from core.vocabulary import BuiltInRole
from models.urls import parse
from resolvers.admission import Admission
from resolvers.destinations import Destinations
from resolvers.input import KEY, email
from resolvers.sending import Post
from resolvers.sinks import FileSink, Sink, SyslogSink, WebSink
from web.limits import Audience, Limits
from web.logs import Form, Level
from web.mailing import Mailer, MailServer, sender
from web.openid import Relying, checked_issuer
from web.proxies import Proxies
from web.tracing import is_installed as tracing_is_installed

if TYPE_CHECKING:
    from web.trusted import Trusted

T = TypeVar("T")

PREFIX = "LATCHKEY_"
OPTIONS = ("host", "port", "workers")
"""The settings that the command line takes as well."""
SECRETS = Path("/run/secrets")
"""Where a container finds its secrets: files named for variables, as `latchkey_database_url`. A variable wins."""
DAY_S = 24 * 60 * 60
_MODEST = (BuiltInRole.NO_ACCESS, BuiltInRole.READER, BuiltInRole.WRITER)
_LIMITS = Limits()


class Settings(BaseSettings):
    """The `LATCHKEY_*` variables. This is the one place where they are read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    data_dir: Path = Field(Path("data"), description="folder of all that is kept")
    database_url: str | None = Field(
        None,
        repr=False,
        description="`sqlite:///absolute/path.sqlite3`, or `postgresql://user:password@host:port/name`"
        " (latchkey.sqlite3 in the data folder)",
    )
    keys_file: Path | None = Field(
        None,
        description="the server's keys, made with mode 0600 if missing"
        " (latchkey.keys.json beside the database's file, or in the data folder)",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on, 0 for any free one")
    workers: int = Field(1, ge=1, le=256, description="processes that serve, each on a core of its own")
    public_url: str | None = Field(
        None, description="how browsers reach this server, as in `https://tokens.example.com` (the address it has)"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may ask with a token of their own, separated by commas"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="addresses and networks of proxies, separated by commas: they may ask at gates, and are believed"
        " about clients",
    )
    webhook_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="networks that webhooks may reach beside the public internet, separated by commas"
    )
    mail_from: str | None = Field(None, description="address that mails come from")
    smtp_url: str | None = Field(
        None,
        repr=False,
        description="mail server that notices are sent by: `smtps://user:password@host:port`, `smtp+starttls://…`,"
        " or without TLS `smtp://host:port`",
    )
    account: str = Field("main", description="key of the account that a first start makes")
    owner_email: str = Field("owner@localhost", description="e-mail address of that account's owner")
    shutdown_grace_s: int = Field(10, ge=1, le=3600, description="seconds that requests under way have at the end")
    shutdown_delay_s: int = Field(
        0, ge=0, le=3600, description="seconds before it, in which all is answered and `/readyz` says that it ends"
    )
    session_lifetime_s: int = Field(12 * 60 * 60, ge=60, description="seconds until a session ends")
    oidc_issuer: str | None = Field(
        None, description="OpenID provider that members sign in through, as it calls itself: `https://id.example.com`"
    )
    oidc_client_id: str | None = Field(None, description="what this server is called there")
    oidc_client_secret: str | None = Field(None, repr=False, description="with what it proves that (nothing)")
    oidc_name: str | None = Field(None, description="what people call the provider (the host of the issuer)")
    oidc_email_claim: str = Field("email", min_length=1, description="claim that a member's e-mail address stands in")
    oidc_trust_email: bool = Field(
        default=False, description="believe an address of which the provider does not say whether it was verified"
    )
    oidc_account: str | None = Field(
        None, description="key of the one account that the provider is for (all; new members join the first)"
    )
    oidc_create: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="domains whose addresses become members by signing in, separated by commas"
    )
    oidc_role: BuiltInRole = Field(
        BuiltInRole.READER, description="base role of those: `no_access`, `reader` or `writer`"
    )
    password_sign_in: bool = Field(default=True, description="whether members sign in with a password as well")
    max_body_bytes: int = Field(_LIMITS.body_bytes, ge=1024, description="bytes of a request, or of a WebSocket frame")
    max_query_tokens: int = Field(_LIMITS.tokens, ge=1, description="words in a GraphQL document")
    max_query_depth: int = Field(_LIMITS.depth, ge=1, description="fields within fields")
    max_query_cost: int = Field(_LIMITS.cost, ge=1, description="objects that one operation may resolve")
    max_sockets: int = Field(
        _LIMITS.sockets,
        ge=1,
        description="WebSockets that one credential, or an address without one, may hold open in one process",
    )
    max_socket_operations: int = Field(
        _LIMITS.socket_operations, ge=1, description="operations that may run at once on one WebSocket"
    )
    socket_init_timeout_s: int = Field(
        int(_LIMITS.init_timeout_s), ge=1, le=DAY_S, description="seconds until a WebSocket has to be initialised"
    )
    socket_idle_timeout_s: int = Field(
        int(_LIMITS.idle_timeout_s),
        ge=1,
        le=DAY_S,
        description="seconds until a WebSocket on which nothing runs is closed",
    )
    max_anonymous_cost: int = Field(
        _LIMITS.anonymous_cost, ge=1, description="objects that one operation without a credential may resolve"
    )
    max_cost_a_minute: int | None = Field(
        None, ge=1, description="objects that the operations of one credential may resolve in a minute (any number)"
    )
    max_anonymous_cost_a_minute: int = Field(
        _LIMITS.anonymous_cost_a_minute,
        ge=1,
        description="objects that the operations of one address without a credential may resolve in a minute",
    )
    max_query_s: float = Field(_LIMITS.seconds, gt=0, description="seconds that a query may take")
    max_running: int = Field(
        _LIMITS.running, ge=1, description="operations of one credential that run at once; others wait"
    )
    introspection: Audience = Field(
        "callers", description="who may ask what the schema is: `nobody`, `callers` with a credential, or `anyone`"
    )
    graphiql: bool = Field(default=True, description="have GraphiQL in the console")

    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of metrics for Prometheus, the first of as many as there are workers, 0 for any free one",
    )
    metrics_host: str = Field("127.0.0.1", description="address that they are served on")
    traces: bool = Field(default=False, description="send traces by OpenTelemetry to where `OTEL_*` variables say")
    log_format: Form = Field("text", description="`text`, or `json` for an object a line")
    log_level: Level = Field("info", description="what is logged: `info`, `warning` or `error`")
    access_log: bool = Field(default=False, description="log every request")

    operations_file: Path | None = Field(
        None, description="manifest of the operations that clients may ask for by id: Relay's, or Apollo's"
    )
    only_trusted_operations: bool = Field(
        default=False, description="run no other operations than those of the manifest"
    )

    audit_heads_every_s: int = Field(
        60 * 60, ge=0, description="seconds between two signatures of the audit log's head while it grows, 0 for none"
    )
    audit_heads_file: Path | None = Field(
        None, description="file outside the database that signed heads are appended to, as lines of JSON"
    )

    audit_heads_syslog: str | None = Field(
        None,
        description="collector they are sent to instead: `tcp://host:port`, `udp://host:port` or `unix:///dev/log`",
    )
    audit_heads_url: str | None = Field(None, description="URL that each is posted to instead")
    audit_entries_file: Path | None = Field(
        None, description="file that the entries of all accounts are appended to, as CloudEvents, a line each"
    )
    audit_entries_syslog: str | None = Field(
        None, description="collector that they are sent to: `tcp://host:port`, `udp://host:port` or `unix:///dev/log`"
    )
    audit_retention_days: int | None = Field(
        None, ge=1, description="days for which entries of the audit log are kept (for ever)"
    )
    audit_disk_floor_mib: int = Field(
        64, ge=0, description="MiB that stay free beside the database's file: with less, refusals are not recorded"
    )

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, url: str | None) -> str | None:
        if url is not None:
            parse(url)
        return url

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, url: str | None) -> str | None:
        return None if url is None else _origin(url)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _are_origins(cls, typed: str | Sequence[str]) -> tuple[str, ...]:
        listed = typed.split(",") if isinstance(typed, str) else typed
        return tuple(_origin(origin.strip()) for origin in listed if origin.strip())

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, url: str | None) -> str | None:
        return None if url is None else checked_issuer(url)

    @field_validator("oidc_client_id")
    @classmethod
    def _is_known_there(cls, client_id: str | None, known: ValidationInfo) -> str | None:
        if client_id is None and known.data.get("oidc_issuer") is not None:
            raise ValueError(f"is needed with `{PREFIX}OIDC_ISSUER`")
        return client_id

    @field_validator("oidc_create", mode="before")
    @classmethod
    def _are_domains(cls, typed: str | Sequence[str]) -> tuple[str, ...]:
        listed = typed.split(",") if isinstance(typed, str) else typed
        return tuple(_domain(text.strip()) for text in listed if text.strip())

    @field_validator("oidc_account")
    @classmethod
    def _is_key(cls, text: str | None) -> str | None:
        if text is not None and not KEY.fullmatch(text):
            raise ValueError(f"is no key of an account: `{text}`")
        return text

    @field_validator("oidc_role", mode="before")
    @classmethod
    def _is_modest(cls, text: str) -> str:
        if text not in _MODEST:
            raise ValueError(f"must be `no_access`, `reader` or `writer`: `{text}`")
        return text

    @field_validator(
        "oidc_client_id",
        "oidc_client_secret",
        "oidc_name",
        "oidc_email_claim",
        "oidc_trust_email",
        "oidc_account",
        "oidc_create",
        "oidc_role",
        "password_sign_in",
    )
    @classmethod
    def _has_provider(cls, given: T, known: ValidationInfo) -> T:
        if given != cls.model_fields[str(known.field_name)].default:
            _require_provider(known)
        return given

    @property
    def relying(self) -> Relying | None:
        """How this server is known to the provider, if there is one."""
        if self.oidc_issuer is None or self.oidc_client_id is None:
            return None
        return Relying(
            self.oidc_issuer,
            self.oidc_client_id,
            self.oidc_client_secret,
            self.oidc_name or urlsplit(self.oidc_issuer).netloc,
            self.oidc_email_claim,
            trusts_email=self.oidc_trust_email,
        )

    @property
    def admission(self) -> Admission:
        """Whom the provider's word lets in."""
        return Admission(self.oidc_account, self.oidc_account or self.account, self.oidc_create, self.oidc_role)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _are_networks(cls, typed: str | Sequence[str]) -> tuple[str, ...]:
        listed = typed.split(",") if isinstance(typed, str) else typed
        networks = tuple(text.strip() for text in listed if text.strip())
        Proxies.parse(networks)
        return networks

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _are_blocks(cls, typed: str | Sequence[str]) -> tuple[str, ...]:
        listed = typed.split(",") if isinstance(typed, str) else typed
        networks = tuple(text.strip() for text in listed if text.strip())
        try:
            Destinations.parse(networks)
        except Invalid as invalid:
            raise ValueError(invalid.message) from None
        return networks

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        return None if text is None else str(sender(text))

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, url: str | None, known: ValidationInfo) -> str | None:
        if url is not None:
            MailServer.parse(url)
            if known.data.get("mail_from") is None:
                raise ValueError(f"needs `{PREFIX}MAIL_FROM`")
        return url

    @property
    def mailer(self) -> Mailer | None:
        """What sends mails, if there is a server to send them by."""
        if self.smtp_url is None or self.mail_from is None:
            return None
        return Mailer(MailServer.parse(self.smtp_url), sender(self.mail_from))

    @property
    def database(self) -> str:
        """The URL of the database."""
        return self.database_url or file_url(self.data_dir / "latchkey.sqlite3")

    @property
    def keys(self) -> Path:
        """The file of the server's keys."""
        return self.keys_file or self.folder / "latchkey.keys.json"

    @property
    def folder(self) -> Path:
        """The folder of what is not in the database: that of the database's file, if it is one."""
        place = parse(self.database)
        return place.parent if isinstance(place, Path) else self.data_dir

    @field_validator("audit_heads_syslog")
    @classmethod
    def _is_collector(cls, url: str | None, known: ValidationInfo) -> str | None:
        if url is not None:
            SyslogSink.parse(url)
            if known.data.get("audit_heads_file") is not None:
                raise ValueError(f"does not go with `{PREFIX}AUDIT_HEADS_FILE`")
        return url

    @field_validator("audit_heads_url")
    @classmethod
    def _is_destination(cls, url: str | None, known: ValidationInfo) -> str | None:
        if url is None:
            return None
        for other in ("audit_heads_file", "audit_heads_syslog"):
            if known.data.get(other) is not None:
                raise ValueError(f"does not go with `{PREFIX}{other.upper()}`")
        try:
            return Destinations.parse(known.data.get("webhook_networks", ())).checked("url", url)
        except Invalid as invalid:
            raise ValueError(invalid.message) from None

    @field_validator("audit_entries_syslog")
    @classmethod
    def _is_collector_of_entries(cls, url: str | None) -> str | None:
        if url is not None:
            SyslogSink.parse(url)
        return url

    @property
    def entry_sinks(self) -> dict[str, Sink]:
        """Where the entries of all accounts go, by the names of their feeds."""
        sinks: dict[str, Sink] = {}
        if self.audit_entries_file is not None:
            sinks["file"] = FileSink(self.audit_entries_file)
        if self.audit_entries_syslog is not None:
            sinks["syslog"] = SyslogSink.parse(self.audit_entries_syslog, "audit-entry")
        return sinks

    def head_sink(self, post: Post) -> Sink | None:
        """Where signed heads go."""
        if self.audit_heads_url is not None:
            return WebSink(self.audit_heads_url, post)
        if self.audit_heads_syslog is not None:
            return SyslogSink.parse(self.audit_heads_syslog)
        return None if self.audit_heads_file is None else FileSink(self.audit_heads_file)

    @field_validator("only_trusted_operations")
    @classmethod
    def _has_operations(cls, only: bool, known: ValidationInfo) -> bool:
        if only and known.data.get("operations_file") is None:
            raise ValueError(f"needs `{PREFIX}OPERATIONS_FILE`")
        return only

    @field_validator("traces")
    @classmethod
    def _has_packages(cls, traces: bool) -> bool:
        if traces and not tracing_is_installed():
            raise ValueError("needs the packages of the group `tracing`, as by `uv sync --group tracing`")
        return traces

    @property
    def trusted(self) -> "Trusted":
        """The operations of the manifest. Raises `ManifestError`, and OSError if there is no such file."""
        from web.trusted import Trusted  # noqa: PLC0415 - see `assembled`

        if self.operations_file is None:
            return Trusted()
        return Trusted.read(self.operations_file, only=self.only_trusted_operations)

    @property
    def bounds(self) -> serving.Bounds:
        """How it is served."""
        return serving.Bounds(self.max_body_bytes, self.shutdown_grace_s)

    @property
    def limits(self) -> Limits:
        """What one request may ask for."""
        return Limits(
            body_bytes=self.max_body_bytes,
            tokens=self.max_query_tokens,
            depth=self.max_query_depth,
            cost=self.max_query_cost,
            sockets=self.max_sockets,
            socket_operations=self.max_socket_operations,
            init_timeout_s=self.socket_init_timeout_s,
            idle_timeout_s=self.socket_idle_timeout_s,
            cost_a_minute=self.max_cost_a_minute,
            anonymous_cost=self.max_anonymous_cost,
            anonymous_cost_a_minute=self.max_anonymous_cost_a_minute,
            seconds=self.max_query_s,
            running=self.max_running,
        )


def _origin(url: str) -> str:
    wrong = ValueError(f"must be `http(s)://host` or `http(s)://host:port`, without a path: `{url}`")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # which raises for one that is none
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/") or parts.query:
        raise wrong
    return f"{parts.scheme}://{parts.netloc}"


def _domain(text: str) -> str:
    try:
        _, compared = email("domain", f"somebody@{text}")
    except Invalid:
        raise ValueError(f"must be domains of e-mail addresses, separated by commas: `{text}`") from None
    return compared.rpartition("@")[2]


def _require_provider(known: ValidationInfo) -> None:
    if "oidc_issuer" in known.data and known.data["oidc_issuer"] is None:  # one that is wrong is told by itself
        raise ValueError(f"needs `{PREFIX}OIDC_ISSUER`")


def file_url(path: Path) -> str:
    """Write the URL of a database in a file."""
    return f"sqlite://{quote(str(path.resolve()))}"


def variables() -> str:
    """Describe every variable, for `--help`."""
    lines = ["variables:"]
    for name, known in Settings.model_fields.items():
        default = "" if known.default in (None, ()) else f" ({known.default})"
        lines.append(f"  {PREFIX}{name.upper():20} {known.description}{default}")
    return "\n".join(lines)
