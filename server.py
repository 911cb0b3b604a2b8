#!/usr/bin/env python3
"""Latchkey: assembles the ASGI application, and is the command line's entry."""

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
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop
from pydantic import ValidationError
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
from core.errors import Refusal
from core.meters import Took
from core.secret import ServerKeys
from models import backups, new_id, now
from models.database import Database, check, opened
from models.engines.transactions import watch
from models.migrator import BrokenMigrationError, DatabaseTooNewError, is_current, is_kept, migrate, refuse_newer
from models.moving import move
from resolvers import callers, devices, identities, sessions
from resolvers.announcing import announcing
from resolvers.callers import Request, used
from resolvers.deliveries import delivering
from resolvers.destinations import Destinations
from resolvers.feeds import feeding
from resolvers.heads import signing
from resolvers.house import House
from resolvers.noticing import noticing
from resolvers.pruning import retaining
from resolvers.refusing import refusing
from resolvers.scoring import scoring
from resolvers.signatures import PublicKeys
from resolvers.working import working
from settings import OPTIONS, PREFIX, SECRETS, Settings, file_url, variables
from web.answers import Heard, Settled
from web.logs import begin as begin_logging
from web.openid import Relying
from web.posting import Poster
from web.proxies import LOOPBACK, Proxies
from web.tracing import Tracing
from web.wire import SocketWire, Wire

if TYPE_CHECKING:
    from web.app import Application
    from web.provider import Provider
    from web.watching import Watched

T = TypeVar("T")

PROTOCOLS = (Wire, SocketWire)
ROOT = Path(__file__).resolve().parent  # `latchkey` on a path may be a link to this file
CONSOLE = ROOT / "console" / "dist"

_log = logging.getLogger("latchkey")


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
    with (ROOT / "pyproject.toml").open("rb") as file:
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
        async with housed(settings, file_url(path), ServerKeys.mint("demo"), public_url) as house:
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
        await _migrate(file_url(draft))
        backups.leap(draft)
        async with housed(settings, file_url(draft), keys, "") as house:
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
