"""The command line's grammar: its commands and options, and the help that says them all."""

from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

_DESCRIPTION = "A self-hosted GraphQL server for personal access tokens."


def parser(variables: str) -> ArgumentParser:
    """Make the parser. `variables` is the text about `LATCHKEY_*` variables that `--help` ends with.

    What was left out is not in the namespace at all; `command` is always there, `serve` where none was named.
    """
    serving = _serving()
    top = ArgumentParser(
        "latchkey",
        description=_DESCRIPTION,
        epilog=variables,
        formatter_class=RawDescriptionHelpFormatter,
        parents=[serving],
    )
    top.set_defaults(command="serve")
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("serve", help="start the server (what happens without a command)", parents=[serving])
    commands.add_parser("migrate", help="bring the database up to this version, without starting").set_defaults(
        command="migrate"
    )
    account = commands.add_parser("account", help="make accounts").add_subparsers(metavar="COMMAND", required=True)
    create = account.add_parser("create", help="make an account and print the link with which its owner comes in")
    create.set_defaults(command="account create")
    create.add_argument("key", metavar="KEY", help="what signing in asks for: a-z, 0-9, `.`, `_`, `-`")
    create.add_argument("--name", help="what people call it (the key)")
    create.add_argument("--owner-email", help="the e-mail address of its owner (LATCHKEY_OWNER_EMAIL)")
    member = commands.add_parser("member", help="let members in").add_subparsers(metavar="COMMAND", required=True)
    link = member.add_parser("link", help="print a new one-time link with which a member sets a password")
    link.set_defaults(command="member link")
    unbind = member.add_parser("unbind", help="forget who a member is at the OpenID provider, until they sign in again")
    unbind.set_defaults(command="member unbind")
    for command in (link, unbind):
        command.add_argument("email", metavar="EMAIL", help="the member's e-mail address")
        command.add_argument("--account", metavar="KEY", help="the account, where there are several")
    export = commands.add_parser("export", help="write an account's kinds, roles and gates as one JSON document")
    export.set_defaults(command="export")
    export.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the file to write (standard output)")
    apply = commands.add_parser("apply", help="make an account's kinds, roles and gates what a document says")
    apply.set_defaults(command="apply")
    apply.add_argument("file", metavar="FILE", type=Path, help="the document; what it does not name stays as it is")
    apply.add_argument("--dry-run", action="store_true", help="only print what would change and who may gain")
    apply.add_argument("--comment", metavar="TEXT", help="why, for the audit log")
    bring = commands.add_parser("import-tokens", help="bring account-wide tokens over, with the secrets that they have")
    bring.set_defaults(command="import-tokens")
    bring.add_argument("file", metavar="FILE", help="CSV with a header, or JSON lines; `-` is standard input")
    bring.add_argument("--dry-run", action="store_true", help="only check every line and print what it would be")
    bring.add_argument("--comment", metavar="TEXT", help="why, for the audit log")
    for command in (export, apply, bring):
        command.add_argument("--account", metavar="KEY", help="the account, where there are several")
    _add_audit(commands.add_parser("audit", help="verify the audit log, and write it out"))
    _add_backups(
        commands.add_parser("backup", help="copy the embedded database to a file, also while a server runs"),
        commands.add_parser("restore", help="put such a copy in its place, while no server runs"),
    )
    move = commands.add_parser("move", help="take the embedded database over to PostgreSQL, while no server runs")
    move.set_defaults(command="move")
    move.add_argument("--to", metavar="URL", required=True, help="an empty database, as LATCHKEY_DATABASE_URL has it")
    _add_keys(commands.add_parser("keys", help="rotate the server's keys"))
    return top


def _add_backups(backup: ArgumentParser, restore: ArgumentParser) -> None:
    """Add the commands about copies of the embedded database."""
    backup.set_defaults(command="backup")
    restore.set_defaults(command="restore")
    backup.add_argument("file", metavar="FILE", type=Path, help="the file to write; the keys are not in it")
    backup.add_argument("--force", action="store_true", help="replace a file that is there")
    restore.add_argument("file", metavar="FILE", type=Path, help="the copy; it stays as it is")
    restore.add_argument("--force", action="store_true", help="put a database that is there aside")
    restore.add_argument(
        "--any-keys", action="store_true", help="go on although what hangs on other keys will not work"
    )


def _add_keys(keys: ArgumentParser) -> None:
    """Add the commands about the server's keys."""
    commands = keys.add_subparsers(metavar="COMMAND", required=True)
    listed = commands.add_parser("list", help="list the keys, and what hangs on each")
    rotate = commands.add_parser("rotate", help="make a new key, under which everything new is kept from then on")
    add = commands.add_parser("add", help="only add a new key, to be given to all machines before it is promoted")
    promote = commands.add_parser("promote", help="have everything new kept under a key that all machines know")
    retire = commands.add_parser("retire", help="take a key away that nothing hangs on any more")
    for name, command in (
        ("list", listed),
        ("rotate", rotate),
        ("add", add),
        ("promote", promote),
        ("retire", retire),
    ):
        command.set_defaults(command=f"keys {name}")
    for command in (promote, retire):
        command.add_argument("id", metavar="ID", help="the key's id, as `latchkey keys list` has it")
    retire.add_argument("--force", action="store_true", help="revoke the tokens that hang on it, and take it away")


def _add_audit(audit: ArgumentParser) -> None:
    """Add the commands about the audit log."""
    commands = audit.add_subparsers(metavar="COMMAND", required=True)
    key = commands.add_parser("key", help="print the public keys that signed heads are checked with, as JSON")
    head = commands.add_parser("head", help="sign the head of the log now, keep and deliver it, and print it")
    export = commands.add_parser(
        "export", help="write an account's log as lines of JSON, to be verified elsewhere, or as CSV"
    )
    verify = commands.add_parser(
        "verify", help="verify the log in the database, or an export; ends with 0 whole, 1 broken, 2 cannot say"
    )
    for name, command in (("key", key), ("head", head), ("export", export), ("verify", verify)):
        command.set_defaults(command=f"audit {name}")
    export.add_argument("file", metavar="FILE", nargs="?", type=Path, help="a new file to write (standard output)")
    export.add_argument(
        "--since",
        "--after",
        metavar="SEQUENCE",
        type=int,
        default=0,
        help="go on after this entry (the beginning)",
    )
    export.add_argument("--resume", action="store_true", help="go on with FILE, which was interrupted")
    export.add_argument(
        "--format", choices=("jsonl", "csv"), default="jsonl", help="lines to be verified, or a table (jsonl)"
    )
    verify.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="an export, in the order of its parts (the database)",
    )
    verify.add_argument("--against", metavar="HEADS", type=Path, help="file of signed heads that were kept elsewhere")
    verify.add_argument("--key", metavar="KEYS", type=Path, help="file of public keys (those of this server)")
    prune = commands.add_parser("prune", help="delete the oldest entries; what remains can still be verified")
    prune.set_defaults(command="audit prune")
    oldest = prune.add_mutually_exclusive_group(required=True)
    oldest.add_argument("--before", metavar="DATE", help="those from before, as in `2026-01-31`, at least a day ago")
    oldest.add_argument("--keep-days", metavar="DAYS", type=int, help="those older than so many days")
    prune.add_argument("--comment", metavar="TEXT", help="why, for the audit log")
    for command in (head, export, verify, prune):
        command.add_argument("--account", metavar="KEY", help="the account, where there are several")


def _serving() -> ArgumentParser:
    """Make the options of `serve`, which stand before and after its name alike."""
    serving = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    serving.add_argument("--host", help="address to listen on (LATCHKEY_HOST)")
    serving.add_argument("--port", type=int, help="port to listen on, 0 for any free one (LATCHKEY_PORT)")
    serving.add_argument("--workers", type=int, metavar="N", help="processes that serve (LATCHKEY_WORKERS)")
    serving.add_argument("--demo", action="store_true", help="serve a small made-up organisation, new at every start")
    serving.add_argument(
        "--json", action="store_true", help="with --demo: print one line of JSON with the URL and live secrets"
    )
    return serving
