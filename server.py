#!/usr/bin/env python3
"""Latchkey: reads the settings, assembles the ASGI application, and is the command line's entry."""

import asyncio
import json
import logging
import sqlite3
import sys
import tomllib
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - a class, as its name should say
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

import uvloop
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from starlette.types import Receive, Scope, Send
from tortoise.exceptions import OperationalError

from cli import accounts as account_commands
from cli import audit as audit_commands
from cli import backups as backup_commands
from cli import configuration as configuration_commands
from cli import demo, links, serving
from cli import imports as import_commands
from cli import keys as key_commands
from cli import members as member_commands
from cli.arguments import parser
from cli.keys import KeysError, server_keys
from core.errors import Invalid, Refusal
from core.meters import Took
from core.secret import ServerKeys
from core.vocabulary import BuiltInRole
from models import backups, new_id, now
from models.database import Database, check, opened
from models.engines.transactions import watch
from models.migrator import BrokenMigrationError, DatabaseTooNewError, is_current, is_kept, migrate, refuse_newer
from models.moving import move
from models.urls import parse
from resolvers import callers, devices, identities, sessions
from resolvers.admission import Admission
from resolvers.announcing import announcing
from resolvers.callers import Request, used
from resolvers.deliveries import delivering
from resolvers.destinations import Destinations
from resolvers.feeds import feeding
from resolvers.heads import signing
from resolvers.house import House
from resolvers.input import KEY, email
from resolvers.noticing import noticing
from resolvers.pruning import retaining
from resolvers.refusing import refusing
from resolvers.scoring import scoring
from resolvers.sending import Post
from resolvers.signatures import PublicKeys
from resolvers.sinks import FileSink, Sink, SyslogSink, WebSink
from resolvers.working import working
from web.answers import Heard, Settled
from web.limits import Audience, Limits
from web.logs import Form, Level
from web.logs import begin as begin_logging
from web.mailing import Mailer, MailServer, sender
from web.openid import Relying, checked_issuer
from web.posting import Poster
from web.proxies import LOOPBACK, Proxies
from web.tracing import Tracing
from web.tracing import is_installed as tracing_is_installed
from web.wire import SocketWire, Wire

if TYPE_CHECKING:
    from web.app import Application
    from web.provider import Provider
    from web.trusted import Trusted
    from web.watching import Watched

T = TypeVar("T")

PREFIX = "LATCHKEY_"
PROTOCOLS = (Wire, SocketWire)
OPTIONS = ("host", "port", "workers")
"""The settings that the command line takes as well."""
_MODEST = (BuiltInRole.NO_ACCESS, BuiltInRole.READER, BuiltInRole.WRITER)
CONSOLE = Path(__file__).parent / "console" / "dist"
SECRETS = Path("/run/secrets")
"""Where a container finds its secrets: files named for variables, as `latchkey_database_url`. A variable wins."""
_LIMITS = Limits()
DAY_S = 24 * 60 * 60

_log = logging.getLogger("latchkey")


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
        (), description="addresses and networks of proxies that are believed about clients, separated by commas"
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
        _LIMITS.sockets, ge=1, description="WebSockets that one credential may hold open, in one process"
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
        return self.database_url or _url(self.data_dir / "latchkey.sqlite3")

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
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"must be `http(s)://host` or `http(s)://host:port`, without a path: `{url}`")
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


def _url(path: Path) -> str:
    return f"sqlite://{quote(str(path.resolve()))}"


@asynccontextmanager
async def _working(house: House) -> AsyncIterator[None]:
    """Do what is done beside requests: write last uses, notice, announce, deliver, keep scores and logs, do jobs."""
    async with (
        house.uses.flushed(),
        noticing(house),
        refusing(house),
        announcing(house),
        delivering(house),
        feeding(house),
        scoring(house),
        working(house),
        signing(house),
        retaining(house),
    ):
        yield


@asynccontextmanager
async def _living(house: House, ending: serving.Ending, keys_file: Path | None) -> AsyncIterator[None]:
    """Work until signals end it, and with the keys that its file has at the time."""
    ending.await_signals()
    rereading = nullcontext() if keys_file is None else key_commands.rereading(house, keys_file, _forget)
    async with rereading, _working(house):
        yield


def _forget() -> None:
    callers.forget()
    Wire.forget()


def assembled(
    settings: Settings, house: House, ending: serving.Ending | None = None, keys_file: Path | None = None
) -> "Application":
    """Assemble the application around an open house: with its `ending`, as all there is in a process."""
    # Here, as the schema takes a second to make, which no command but serving should wait for.
    from schema import schema  # noqa: PLC0415 - see above
    from web.app import application  # noqa: PLC0415
    from web.console import console_routes  # noqa: PLC0415
    from web.health import EndingError  # noqa: PLC0415

    def asking(request_id: str, address: str | None, user_agent: str | None) -> Request:
        return Request(house, request_id, address, user_agent)

    async def answers() -> None:
        if ending is not None and ending.begun:
            raise EndingError
        await refuse_newer()

    return application(
        schema=schema,
        asking=asking,
        identify=used,
        sign_in=sessions.sign_in,
        sign_out=sessions.sign_out,
        note_device=devices.note,
        enter=identities.sign_in,
        provider=_provider(settings.relying),
        passwords=house.password_sign_in,
        database_answers=answers,
        lifespan=lambda _: _living(house, ending, keys_file) if ending else _working(house),
        public_url=house.public_url,
        cors_origins=settings.cors_origins,
        proxies=Proxies.parse(settings.trusted_proxies),
        limits=settings.limits,
        introspection=settings.introspection,
        trusted=settings.trusted,
        routes=console_routes(CONSOLE, graphiql=settings.graphiql),
    )


def _provider(relying: Relying | None) -> "Provider | None":
    if relying is None:
        return None
    from web.provider import Provider  # noqa: PLC0415 - its libraries are for those who have one

    return Provider(relying)


@asynccontextmanager
async def watched(settings: Settings, house: House, app: "Application") -> AsyncIterator["Application | Watched"]:
    """Have those watch an application whom the settings name, for as long as this is open.

    Raises OSError if metrics cannot be served where they should.
    """
    if settings.metrics_port is None and not settings.traces and not settings.access_log:
        yield app
        return
    from web.watching import Watched  # noqa: PLC0415 - see `assembled`

    async with AsyncExitStack() as stack:
        tracing = None
        listeners: list[Took] = []
        if settings.traces:
            tracing = Tracing("postgresql" if house.database.path is None else "sqlite")
            stack.push_async_callback(tracing.close)
            app.engine.spans = tracing
            listeners.append(tracing.took)
        if settings.metrics_port is not None:
            listeners.append(await stack.enter_async_context(_metrics(settings, house, app)))
        watch.tell(*listeners)
        stack.callback(watch.tell)
        proxies = Proxies.parse(settings.trusted_proxies)
        yield Watched(app, proxies, logs_access=settings.access_log, tracing=tracing)


@asynccontextmanager
async def _metrics(settings: Settings, house: House, app: "Application") -> AsyncIterator[Took]:
    """Serve metrics; gives who is to be told how long the database takes."""
    from web.metrics import PATH, Metrics  # noqa: PLC0415 - see `assembled`

    assert settings.metrics_port is not None  # noqa: S101 - called for no others

    def ready(address: str) -> None:
        _log.info("metrics: %s%s", address, PATH)

    host, port, metrics = settings.metrics_host, settings.metrics_port, Metrics(house, app, _version())
    async with metrics.measuring(), serving.served_aside(metrics.app, host, port, settings.workers, ready):
        yield metrics.took


def _protocols(settings: Settings) -> tuple[type[Wire], type[SocketWire]]:
    if settings.metrics_port is None:
        return PROTOCOLS
    from web.watching import MeteredWire  # noqa: PLC0415 - see `assembled`

    return MeteredWire, SocketWire


def _version() -> str:
    with (Path(__file__).parent / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


@asynccontextmanager
async def housed(settings: Settings, url: str, keys: ServerKeys, public_url: str) -> AsyncIterator[House]:
    """Open the database, brought up to this version, and what the server shares around it."""
    await _migrate(url)
    async with opened(url) as database:
        yield _house(settings, database, keys, public_url)


async def _migrate(url: str) -> None:
    for name in await migrate(url):
        _log.info("applied the migration `%s`", name)


def _house(settings: Settings, database: Database, keys: ServerKeys, public_url: str) -> House:
    destinations = Destinations.parse(settings.webhook_networks)
    post = Poster(destinations)
    return House(
        database,
        keys,
        public_url=public_url,
        session_lifetime_s=settings.session_lifetime_s,
        password_sign_in=settings.password_sign_in,
        admission=settings.admission,
        destinations=destinations,
        post=post,
        mail=settings.mailer,
        heads_every_s=settings.audit_heads_every_s,
        sink=settings.head_sink(post),
        entry_sinks=settings.entry_sinks,
        retention_days=settings.audit_retention_days,
        disk_floor_bytes=settings.audit_disk_floor_mib << 20,
    )


def serve(settings: Settings) -> int:
    """Serve the database that the settings name, making its first account if it is empty."""
    keys = _run(_keys(settings))
    if not check(settings.database):
        _log.info("the database is so large that only a part of it was looked through for damage")
    socket, address = serving.listening(settings.host, settings.port)
    settings = settings.model_copy(update={"public_url": settings.public_url or address})

    def ready() -> None:
        _log.info("ready: %s", address)

    with socket:
        if settings.workers == 1:
            return _run(_serve(settings, keys, socket, ready))
        _run(_prepared(settings, keys, socket))
        worker, protocols = Worker(settings), _protocols(settings)
        ended_well = serving.serve_from_many(worker, protocols, socket, settings.bounds, ready, settings.workers)
    return 0 if ended_well else _failed("a process could not start")


async def _keys(settings: Settings) -> ServerKeys:
    return server_keys(settings.keys, database_exists=await is_kept(settings.database))


async def _serve(settings: Settings, keys: ServerKeys, socket: Socket, ready: Callable[[], None]) -> int:
    await _migrated(settings, socket)
    async with housed(settings, settings.database, keys, settings.public_url or "") as house:
        await _welcomed(settings, house)
        app = assembled(settings, house, serving.Ending(settings.shutdown_delay_s), settings.keys)
        async with watched(settings, house, app) as outer:
            await serving.serve(outer, _protocols(settings), socket, settings.bounds, ready)
    return 0


async def _prepared(settings: Settings, keys: ServerKeys, socket: Socket) -> int:
    """Do once what every start does, so that no two workers do it."""
    await _migrated(settings, socket)
    async with housed(settings, settings.database, keys, settings.public_url or "") as house:
        await _welcomed(settings, house)
    return 0


async def _migrated(settings: Settings, socket: Socket) -> None:
    """Bring the database up to this version, while whoever asks is told so: it may take a while."""
    if not await is_current(settings.database):
        async with serving.migrating(socket):
            await _migrate(settings.database)


async def _welcomed(settings: Settings, house: House) -> None:
    """Make the first account of an empty database, and hand its owner the link."""
    request = Request(house, str(new_id()), None, "latchkey")
    link = await account_commands.create_first(request, settings.account, settings.owner_email)
    if link is not None and settings.password_sign_in:
        await _delivered(link, settings.folder)
    elif link is not None:
        _log.info("the owner is `%s`, who signs in at %s", settings.owner_email, house.public_url)


class Worker:
    """The application of one of several processes: assembled once its lifespan has opened the house."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Application | Watched | None = None

    @cached_property
    def reads(self) -> frozenset[bytes]:
        """The headers that answers given at once depend on; see `web.answers.Prompt`."""
        from web.app import Application  # noqa: PLC0415 - see `assembled`

        return Application.reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; see ASGI."""
        if scope["type"] != "lifespan":
            assert self._app is not None  # noqa: S101 - the lifespan comes first
            await self._app(scope, receive, send)
            return
        settings = self._settings
        begin_logging(settings.log_format, settings.log_level)
        serving.end_with_supervisor()
        async with opened(settings.database) as database:
            house = _house(settings, database, await _keys(settings), settings.public_url or "")
            ending = serving.Ending(settings.shutdown_delay_s, supervised=True)
            async with watched(settings, house, assembled(settings, house, ending, settings.keys)) as self._app:
                serving.settle()
                await self._app(scope, receive, send)

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer from memory; see `web.answers.Prompt`."""
        return self._app.at_once(heard) if self._app else None


async def _delivered(link: str, folder: Path) -> None:
    path = await asyncio.to_thread(links.deliver, link, (sys.stdout, sys.stderr), folder)
    if path is not None:
        _log.info("the one-time link with which the owner sets a password is in `%s`", path)


async def serve_demo(settings: Settings, *, as_json: bool) -> int:
    """Serve the made-up organisation, and give its secrets away on standard output."""
    with demo.fresh(settings.data_dir) as path:
        socket, address = serving.listening(settings.host, settings.port)
        public_url = settings.public_url or address
        async with housed(settings, _url(path), ServerKeys.mint("demo"), public_url) as house:
            given = await demo.load(house)
            believing = settings.model_copy(update={"trusted_proxies": (*settings.trusted_proxies, *LOOPBACK)})
            app = assembled(believing, house, serving.Ending(settings.shutdown_delay_s))
            text = _told_json(address, given) if as_json else _told(public_url, address, given)
            async with watched(believing, house, app) as outer:
                await serving.serve(outer, _protocols(settings), socket, settings.bounds, lambda: _say(text))
    return 0


def _told_json(address: str, given: demo.Demo) -> str:
    gates = {key: f"{address}/authz/{demo.ACCOUNT_KEY}:{key}" for key in given.gates}
    told = {"secrets": dict(given.secrets), "introspection": dict(given.introspection), "gates": gates}
    return json.dumps({"url": address, "graphql": f"{address}/graphql", **told})


def _told(public_url: str, address: str, given: demo.Demo) -> str:
    return "\n".join(
        (
            "A made-up organisation, new at every start.",
            "",
            f"    console   {public_url}/",
            f"    GraphQL   {address}/graphql",
            f"    sign in   {given.owner_email} (or admin@, writer@, reader@, developer@, no-access@)",
            f"    password  {given.password}",
            "",
            *(f"    {name:9} {secret}" for name, secret in given.secrets.items()),
            "",
            f"    introspection   {address}/oauth2/introspect",
            *(f"    {name:15} {value}" for name, value in given.introspection.items()),
            "",
        )
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _verify(settings: Settings, arguments: Namespace) -> int:
    """Verify an export, or the database as it is: it is not migrated, and nothing is written."""
    keys = audit_commands.keys_of(arguments.key) if arguments.key else None
    if keys is None and settings.keys.exists():
        keys = PublicKeys.of(await _keys(settings))
    heads = audit_commands.heads_of(arguments.against)
    if arguments.files:
        return audit_commands.tell(audit_commands.verify_files(arguments.files, heads, keys), sys.stdout)
    if not await is_current(settings.database):
        return _failed("there is no database of this version: `latchkey migrate` makes it one")
    if keys is None:
        return _failed(f"`--key` is needed: there are no keys in `{settings.keys}`")
    async with opened(settings.database):
        return audit_commands.tell(await audit_commands.verify(arguments.account, heads, keys), sys.stdout)


async def _restore(settings: Settings, arguments: Namespace) -> int:
    """Put a copy in the place of the database, once it is known to be whole and to fit the keys."""
    path = backup_commands.file_of(settings.database, instead="pg_restore")
    keys = server_keys(settings.keys, database_exists=True)
    backup_commands.refuse_lost(path, replaces=arguments.force)
    with backups.drafted(path) as draft:
        ends = backups.copy(arguments.file, draft)
        undone = backups.undone(draft, path) if path.exists() else None
        await _migrate(_url(draft))
        backups.leap(draft)
        async with housed(settings, _url(draft), keys, "") as house:
            request = Request(house, str(new_id()), None, "latchkey restore")
            if not arguments.any_keys:
                await backup_commands.refuse_misfits(request)
            if undone is not None:
                await backup_commands.end_again(request, undone)
        aside = backups.replace(draft, path, now())
    _say(backup_commands.restored(ends, aside, undone))
    return 0


async def _move(settings: Settings, arguments: Namespace) -> int:
    """Take the embedded database over to a server, and verify the logs there."""
    path = backup_commands.file_of(settings.database, instead="pg_dump")
    server = backup_commands.server_of(arguments.to)
    keys = server_keys(settings.keys, database_exists=True)
    backups.refuse_in_use(path)
    await _migrate(settings.database)
    await _migrate(arguments.to)
    _say(backup_commands.moved(await move(path, server), settings.keys))
    async with opened(arguments.to):
        return audit_commands.tell(await audit_commands.verify(None, (), PublicKeys.of(keys)), sys.stdout)


async def command(settings: Settings, arguments: Namespace) -> int:
    """Run a command other than serving, on the database that the settings name; returns the exit status."""
    match arguments.command:
        case "audit verify":
            return await _verify(settings, arguments)
        case "restore":
            return await _restore(settings, arguments)
        case "move":
            return await _move(settings, arguments)
        case "backup":
            path = backup_commands.file_of(settings.database, instead="pg_dump")
            _say(backup_commands.backup(path, arguments.file, settings.keys, replaces=arguments.force))
        case "keys add" | "keys promote" | "keys rotate":
            _say(await key_commands.change(arguments.command, settings.keys, getattr(arguments, "id", None)))
        case _:
            await _in_house(settings, arguments)
    return 0


async def _in_house(settings: Settings, arguments: Namespace) -> None:
    keys = await _keys(settings)
    public_url = settings.public_url or f"http://{settings.host}:{settings.port}"
    async with housed(settings, settings.database, keys, public_url) as house:
        request = Request(house, str(new_id()), None, f"latchkey {arguments.command}")
        match arguments.command:
            case "account create":
                email = arguments.owner_email or settings.owner_email
                _say(await account_commands.create(request, arguments.key, arguments.name, email))
            case "member link":
                _say(await member_commands.link(request, arguments.email, arguments.account))
            case "member unbind":
                _say(await member_commands.unbind(request, arguments.email, arguments.account))
            case "export":
                _say(await configuration_commands.export(request, arguments.account, arguments.file))
            case "apply":
                said = configuration_commands.Wanted(arguments.file, arguments.comment, dry_run=arguments.dry_run)
                _say(await configuration_commands.apply(request, arguments.account, said))
            case "import-tokens":
                wanted = import_commands.Wanted(arguments.file, arguments.comment, dry_run=arguments.dry_run)
                _say(await import_commands.bring(request, arguments.account, wanted))
            case "keys list":
                _say(await key_commands.listed(request))
            case "keys retire":
                _say(await key_commands.retire(request, settings.keys, arguments.id, force=arguments.force))
            case _:
                told = await _about_audit(request, arguments)
                if told is not None:
                    _say(told)


async def _about_audit(request: Request, arguments: Namespace) -> str | None:
    """Run a command about the audit log; returns what to print, None if all is."""
    match arguments.command:
        case "audit key":
            return PublicKeys.of(request.house.keys).json()
        case "audit head":
            return await audit_commands.head(request, arguments.account)
        case "audit export":
            as_csv = arguments.format == "csv"
            wanted = audit_commands.Export(arguments.file, arguments.since, as_csv=as_csv, resumes=arguments.resume)
            return await audit_commands.export(request, arguments.account, wanted)
        case "audit prune":
            before = audit_commands.moment(arguments.before, arguments.keep_days)
            return await audit_commands.prune(request, arguments.account, before, arguments.comment)
    return None


def variables() -> str:
    """Describe every variable, for `--help`."""
    lines = ["variables:"]
    for name, known in Settings.model_fields.items():
        default = "" if known.default in (None, ()) else f" ({known.default})"
        lines.append(f"  {PREFIX}{name.upper():20} {known.description}{default}")
    return "\n".join(lines)


def main(typed: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    left_out = Namespace(**dict.fromkeys(OPTIONS), demo=False, json=False)
    arguments = parser(variables()).parse_args(typed, left_out)
    begin_logging()
    if arguments.json and not arguments.demo:
        return _failed("`--json` goes with `--demo`")
    given = {name: value for name in OPTIONS if (value := getattr(arguments, name)) is not None}
    try:
        return _done(Settings(_secrets_dir=SECRETS if SECRETS.is_dir() else None, **given), arguments)
    except ValidationError as error:
        return _failed("\n".join(_problem(problem, given) for problem in error.errors()))
    except Refusal as refusal:
        return _failed(refusal.message)
    except (
        KeysError,
        DatabaseTooNewError,
        BrokenMigrationError,
        OperationalError,
        sqlite3.DatabaseError,
        OSError,
    ) as error:
        return _failed(str(error))


def _done(settings: Settings, arguments: Namespace) -> int:
    begin_logging(settings.log_format, settings.log_level)
    if arguments.command != "serve":
        return _run(command(settings, arguments))
    from web.trusted import ManifestError  # noqa: PLC0415 - see `assembled`

    try:
        return _served(settings, arguments)
    except ManifestError as error:
        return _failed(str(error))


def _served(settings: Settings, arguments: Namespace) -> int:
    from schema import schema  # noqa: PLC0415 - see `assembled`
    from web.execution import Engine  # noqa: PLC0415

    Engine(schema, settings.limits, trusted=settings.trusted)  # before anything is begun
    if not arguments.demo:
        return serve(settings)
    if settings.workers > 1:
        return _failed("`--demo` is served by one process")
    return _run(serve_demo(settings, as_json=arguments.json))


def _run(running: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(running)


def _problem(problem: Any, given: dict[str, Any]) -> str:  # noqa: ANN401 - pydantic's own mapping
    name = str(problem["loc"][0])
    said = problem["msg"].removeprefix("Value error, ")
    return f"`{'--' + name if name in given else PREFIX + name.upper()}`: {said[:1].lower()}{said[1:]}"


def _failed(problem: str) -> int:
    sys.stderr.write(f"latchkey: {problem}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
