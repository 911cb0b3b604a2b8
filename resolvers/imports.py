"""Account-wide tokens, brought over from elsewhere with the secrets that they have there.

What is kept of a secret is a digest of its SHA-256, so that is enough to bring one over. An import does at most what
its importer may at that moment, and from then on only less.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from tortoise.exceptions import IntegrityError

from core.errors import Conflict, Invalid, Unfit
from core.law import Verdict
from core.secret import ENDING_CHARACTERS, LONG, Digest, ForeignSecret, Malformed
from core.vocabulary import Action, BuiltInRole
from models import (
    Account,
    ActorKind,
    AuditEntry,
    AuditHead,
    Member,
    MemberState,
    SecretDigest,
    Token,
    TokenKind,
    TokenRole,
    new_id,
    now,
)
from resolvers import rights, tokens
from resolvers.access import Effective
from resolvers.admins import require_full_admin
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.scopes import Scope
from resolvers.tokens import NewToken
from resolvers.writing import Line, Said, append_all, because, opened

ACTION = Action.IMPORT_ACCESS_TOKEN
MOST = 500
"""How many are brought over at once, all of them or none."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENDING = re.compile(rf"[!-~]{{0,{ENDING_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class Import:
    """A token to bring over, by its secret or by the SHA-256 of that in hex. Without a scope, all that it may have."""

    name: str
    secret: str | None = field(default=None, repr=False)
    sha256: str | None = field(default=None, repr=False)
    ending: str | None = None
    """The last characters of a secret of which the digest is given."""
    description: str = ""
    scope: Scope | None = None
    expires_at: datetime | None = None
    networks: Sequence[str] | None = None
    rate_limits: Sequence[str] | None = None
    responsible_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A token as it was, or would be, brought over. `effective` is all that bounds what it may do."""

    row: Token
    effective: Effective
    verdict: Verdict
    roles: Sequence[TokenRole]
    digest: Digest


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to, or would. `known` are the places of those whose secrets had been imported before."""

    drafts: Sequence[Draft] = ()
    entries: Sequence[AuditEntry] = ()
    known: Sequence[int] = ()


async def bring(
    caller: Caller, wanted: Sequence[Import], said: Said, *, dry_run: bool = False, skip_known: bool = False
) -> Imported:
    """Bring tokens over, all of them or none; a dry run only checks them.

    Whoever does needs all rights of an admin. Raises `Unfit` with what is wrong with each, beneath `tokens[<place>]`.
    With `skip_known`, secrets that were imported already are passed over.
    """
    if not 1 <= len(wanted) <= MOST:
        raise Invalid("tokens", f"must be from 1 to {MOST}")
    try:
        async with opened(caller, said) as (fresh, head):
            _require(fresh)
            found = await _drafted(fresh, wanted, said, skip_known=skip_known)
            entries = [] if dry_run else await _written(fresh, head, found.drafts, said)
    except IntegrityError:  # asking first does not see what another account is importing at the same time
        raise Conflict("one of the secrets is in use already", field="tokens") from None
    finally:
        caller.request.house.foreign.imported()
    return replace(found, entries=entries)


def _require(caller: Caller) -> None:
    """Refuse whoever may not import at all, before anything is said about what they sent."""
    any_row = Token(id=new_id(), account_id=caller.account.id, kind=TokenKind.ACCOUNT)
    caller.require(ACTION, any_row)
    require_full_admin(caller, any_row, ACTION)
    if caller.account.has_retired_legacy(now()):
        raise Conflict("account-wide tokens have ended, all of them: none is imported any more")


async def _drafted(caller: Caller, wanted: Sequence[Import], said: Said, *, skip_known: bool) -> Imported:
    problems: list[Invalid] = []
    digests: dict[int, tuple[Digest, ...]] = {}
    for place, each in enumerate(wanted):
        with _noting(problems, place):
            hashed = fingerprint(each)
            _refuse_told(each, hashed)
            digests[place] = caller.request.house.keys.candidates_hashed(hashed)
        if said.comment is not None and place in digests and _tells(said.comment, each, hashed):
            raise Invalid("comment", f"holds the secret of `tokens[{place}]`")
    known = await _known(caller, digests)
    skipped = [place for place, is_ours in known.items() if is_ours and skip_known]
    maker = await _Maker.of(caller, wanted)
    drafts, first = [], dict[str, int]()
    for place, candidates in digests.items():
        if place in skipped:
            continue
        with _noting(problems, place):
            name = "secret" if wanted[place].sha256 is None else "sha256"
            if place in known:
                raise Invalid(name, "is in use already")
            if (other := first.setdefault(candidates[0].hex, place)) != place:
                raise Invalid(name, f"is that of `tokens[{other}]` too")
            drafts.append(await maker.draft(wanted[place], candidates[0]))
    if problems:
        raise Unfit(sorted(problems, key=lambda problem: _place_of(problem.field)))
    if drafts:
        await tokens.refuse_too_many(caller.account, drafts[0].row, len(drafts))
    return Imported(drafts, known=skipped)


@contextmanager
def _noting(problems: list[Invalid], place: int) -> Iterator[None]:
    try:
        yield
    except Invalid as problem:
        problems.append(Invalid(f"tokens[{place}].{problem.field}", problem.problem))


def _refuse_told(each: Import, hashed: bytes) -> None:
    """Refuse what people read if it gives the secret away."""
    for name, text in (("name", each.name), ("description", each.description), ("ending", each.ending or "")):
        if _tells(text, each, hashed):
            raise Invalid(name, "holds the secret")


def _tells(text: str, each: Import, hashed: bytes) -> bool:
    holds = each.secret is not None and len(each.secret) >= LONG and each.secret in text
    return holds or sha256(text.strip().encode("utf-8", "surrogatepass")).digest() == hashed


def fingerprint(each: Import) -> bytes:
    """Give the SHA-256 of a token's secret. Raises `Invalid`."""
    if (each.secret is None) == (each.sha256 is None):
        raise Invalid("secret", "or `sha256` must be given, one of the two")
    if each.secret is None:
        if each.sha256 is None or not _SHA256.fullmatch(each.sha256):
            raise Invalid("sha256", "must be the SHA-256 of the secret, 64 hex digits in lower case")
        return bytes.fromhex(each.sha256)
    try:
        return sha256(ForeignSecret.parse(each.secret).text.encode()).digest()
    except Malformed as problem:
        raise Invalid("secret", str(problem)) from None


async def _known(caller: Caller, digests: Mapping[int, tuple[Digest, ...]]) -> dict[int, bool]:
    """Find the places of secrets that are in use, in any account, and whether as tokens imported into this one."""
    sought = [digest.hex for candidates in digests.values() for digest in candidates]
    proofs = {proof.digest: proof for proof in await SecretDigest.filter(digest__in=sought).select_related("token")}
    found = {
        place: proofs[each.hex] for place, candidates in digests.items() for each in candidates if each.hex in proofs
    }
    return {place: _is_import_into(caller.account, proof) for place, proof in found.items()}


def _is_import_into(account: Account, proof: SecretDigest) -> bool:
    return proof.account_id == account.id and proof.token.kind is TokenKind.ACCOUNT


@dataclass(frozen=True, slots=True)
class _Maker:
    """Whoever imports, and what bounds what they do."""

    caller: Caller
    owner: Member | None
    """The account's owner, if it is the command line that imports: it stands in for them."""
    active: frozenset[UUID]
    """Those who may be named as responsible."""

    @classmethod
    async def of(cls, caller: Caller, wanted: Sequence[Import]) -> "_Maker":
        owner = None
        if caller.actor is ActorKind.COMMAND_LINE:
            owner = await Member.get(account_id=caller.account.id, base_role=BuiltInRole.OWNER)
        named = [each.responsible_id for each in wanted if each.responsible_id is not None]
        active = readable(caller, Member).filter(id__in=named, state=MemberState.ACTIVE)
        return cls(caller, owner, frozenset([member.id for member in await active] if named else []))

    async def draft(self, each: Import, digest: Digest) -> Draft:
        """Draft a token. Raises `Invalid`, and `Forbidden` where this very one may not be imported."""
        caller = self.caller
        wanted = self._wanted(each)
        row = tokens.begun(caller, wanted, _ending(each))
        verdict = caller.require(ACTION, row)
        scope = await tokens.fitted(caller, row, wanted)
        if self.owner is not None:
            row.ceilings = [rights.frozen(rights.of_member(self.owner, (), caller.catalogue))]
        if each.responsible_id is not None:
            if each.responsible_id not in self.active:
                raise Invalid("responsibleId", "must name an active member")
            row.responsible_id = each.responsible_id
        row.owner = None
        sides = rights.of_token(row, scope.roles, None, (), caller.catalogue)
        effective = Effective(sides, caller.catalogue, caller.request.allowance)
        return Draft(row, effective, verdict, scope.roles_of(row), digest)

    def _wanted(self, each: Import) -> NewToken:
        return NewToken(
            TokenKind.ACCOUNT,
            each.name,
            each.scope or Scope(self._everything),
            each.description,
            each.expires_at,
            each.networks,
            each.rate_limits,
        )

    @property
    def _everything(self) -> BuiltInRole:
        """The role that leaves it to the ceiling what a token may."""
        member = self.caller.member
        owns = self.owner is not None or (member is not None and member.base_role is BuiltInRole.OWNER)
        return BuiltInRole.OWNER if owns else BuiltInRole.ADMIN


def _ending(each: Import) -> str:
    if each.secret is not None:
        if each.ending is not None:
            raise Invalid("ending", "is taken from the secret: give it where only the digest is given")
        return ForeignSecret.parse(each.secret).ending
    if not _ENDING.fullmatch(each.ending or ""):
        raise Invalid("ending", f"must be up to {ENDING_CHARACTERS} printable ASCII characters")
    return each.ending or ""


def _place_of(field: str) -> int:
    return int(field.removeprefix("tokens[").partition("]")[0])


async def _written(caller: Caller, head: AuditHead, drafts: Sequence[Draft], said: Said) -> list[AuditEntry]:
    if not drafts:
        return []
    await Token.bulk_create([draft.row for draft in drafts])
    await TokenRole.bulk_create([role for draft in drafts for role in draft.roles])
    await SecretDigest.bulk_create([tokens.opened_by(draft.row, draft.digest) for draft in drafts])
    return await append_all(caller, head, [_line(draft, said, is_first=draft is drafts[0]) for draft in drafts])


def _line(draft: Draft, said: Said, *, is_first: bool) -> Line:
    row = draft.row
    row.roles._set_result_for_query(list(draft.roles))  # noqa: SLF001 - as Tortoise's prefetching does
    resource = str(row.resource)
    return Line(
        target_kind=row.resource.path[-1],
        target_id=row.id,
        target_resource=resource,
        target_name=row.label,
        accesses=[{"action": ACTION.value, "resource": resource}],
        because=[because(ACTION, draft.verdict)],
        after=row.snapshot(),
        comment=said.comment,
        idempotency_key=said.idempotency_key if is_first else None,
    )
