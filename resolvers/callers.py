"""Who is asking: one function makes a caller from a credential, another makes it anew inside a transaction."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from hashlib import blake2b
from itertools import product
from typing import NamedTuple, Protocol
from uuid import UUID

from tortoise.exceptions import OperationalError

from core.catalogue import Catalogue
from core.covers import Allowance, sides_cover
from core.errors import Forbidden, RateLimited, Retired, Unauthenticated
from core.law import Authority, Side, Verdict
from core.meters import Lookups
from core.policy import Effect
from core.secret import Digest, ForeignSecret, Malformed, Secret, ServerKeys, heard
from core.specifiers import Resource
from core.vocabulary import Action
from models import (
    Account,
    ActorKind,
    Job,
    Link,
    Member,
    MemberState,
    Role,
    Row,
    ScopeKind,
    SecretDigest,
    Token,
    TokenKind,
    TokenRole,
    new_id,
    now,
)
from models.versions import Versions
from resolvers import courses, deprecations, restrictions, rights
from resolvers.deprecations import Deprecation
from resolvers.house import House
from resolvers.rates import Standing
from resolvers.realms import Realm, catalogue_of, owner_of
from resolvers.restrictions import Restrictions
from resolvers.reuses import Presented
from resolvers.statements import Statement, dialect, found
from resolvers.uses import NO_ACTION, Deed, Outcome, Use, deed

MEMORY_SIZE = 10_000
"""How many callers a process keeps. Each is compared with the account's version at every use."""


@dataclass(frozen=True, slots=True)
class Request:
    """Where a caller asks from, as entries record it."""

    house: House
    id: str
    address: str | None = None
    user_agent: str | None = None
    device: str | None = None
    """What its browser keeps of having been signed in with; see `resolvers.devices`."""
    allowance: Allowance = field(default_factory=Allowance, compare=False, repr=False)
    """What all proofs of this request together may cost."""
    uses: list[Use] = field(default_factory=list, compare=False, repr=False)
    """The use of a token that it is, once that is noted."""
    standings: list[Standing] = field(default_factory=list, compare=False, repr=False)
    """How the limits of its token stand, if it has any, once the request is counted."""
    deprecations: list[Deprecation] = field(default_factory=list, compare=False, repr=False)
    """What its answer says of its token, if that is an account-wide one, once its use is noted."""


class Rights(Protocol):
    """What a caller may do."""

    def decide(self, action: str, resource: Resource) -> Verdict:
        """Decide about one action on one resource, with reasons."""
        ...

    def allows(self, action: str, resource: Resource) -> bool:
        """Say whether `decide` allows, without its reasons."""
        ...


class Judged(Protocol):
    """A row, or what stands for one, as far as deciding about it goes."""

    @property
    def subjects(self) -> tuple[Resource, ...]:
        """As what it is judged; an action allowed on one of them is allowed."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """Rights that a password, a provider, a one-time link or the command line gives for the one deed it is used for."""

    def decide(self, action: str, resource: Resource) -> Verdict:  # noqa: ARG002 - the deed is fixed by the code
        """Allow: which deed it is, the operation says, not the caller."""
        return Verdict(allowed=True, because=())

    def allows(self, action: str, resource: Resource) -> bool:  # noqa: ARG002 - as above
        """Say yes."""
        return True


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller, as true as the moment it was made. Rows in it are read, never saved."""

    account: Account
    rights: Rights
    catalogue: Catalogue
    owner_id: str | None
    request: Request
    actor: ActorKind
    member: Member | None = None
    token: Token | None = None
    proof: SecretDigest | Link | Job | None = None
    """The row that proves the credential; looked at again before anything is written."""
    restrictions: Restrictions | None = None
    """What restricts the token beside its rights; None if nothing does."""
    trial: Authority | None = None
    """What the caller might do if the scope that is tried were the token's; None if none is. It decides nothing."""

    def may(self, action: Action, target: Row | Resource) -> Verdict:
        """Decide about an action on a row, or on a resource in policy words."""
        return self.rights.decide(action.value, target.resource if isinstance(target, Row) else target)

    def require(self, action: Action, target: Row | Resource) -> Verdict:
        """Decide, and refuse by raising `Forbidden` with the missing action and the resource."""
        resource = target.resource if isinstance(target, Row) else target
        verdict = self.may(action, resource)
        note_deeds(self, self.deed(action.value, resource, allowed=bool(verdict)))
        if not verdict:
            raise Forbidden(action.value, str(resource))
        return verdict

    def deed(self, action: str, resource: Resource, *, allowed: bool) -> Deed:
        """Say what became of an action on a resource. What was allowed, the scope that is tried is asked about too."""
        if allowed and self.trial is not None and not self.trial.allows(action, resource):
            return Deed(action, Outcome.TRIAL_REFUSED, resource.specifier)
        return Deed(action, Outcome.ALLOWED if allowed else Outcome.REFUSED, resource.specifier)

    def seeing(self, actions: Sequence[Action], judged: Judged) -> Deed:
        """Say what became of a field that needs one of some actions on a row: as `sees` has it for each of them."""
        refused: Deed | None = None
        for action, subject in product(actions, judged.subjects):
            if self.rights.allows(action.value, subject):
                done = self.deed(action.value, subject, allowed=True)
                if done.outcome is Outcome.ALLOWED:
                    return done
                refused = refused or done
        return refused or self.deed(actions[0].value, judged.subjects[0], allowed=False)

    def sees(self, action: Action, judged: Judged) -> bool:
        """Say whether the caller may do something on any of the resources that a row is judged as."""
        return any(self.rights.allows(action.value, subject) for subject in judged.subjects)

    def covers(self, sides: Sequence[Side]) -> bool:
        """Say whether the caller may provably do all that some sides together allow. The command line may do all."""
        if self.actor is ActorKind.COMMAND_LINE:
            return True
        return sides_cover(self.sides, sides, self.catalogue, self.request.allowance)

    def could(self, action: Action) -> bool:
        """Say whether there may be any resource at all on which the caller has this action."""
        return isinstance(self.rights, Credential) or _may_somewhere(self.sides, action)

    def somewhere(self, actions: Sequence[Action]) -> Deed:
        """Say what became of a field that needs one of some actions on any resource at all: as `could` has it."""
        could = next((action for action in actions if self.could(action)), None)
        if could is None:
            return deed(actions[0].value, allowed=False)
        if self.trial is not None and not any(_may_somewhere(self.trial.sides, action) for action in actions):
            return Deed(could.value, Outcome.TRIAL_REFUSED)
        return deed(could.value, allowed=True)

    def asking(self, request: Request) -> "Caller":
        """Give the same caller with another request. As `replace` does, which takes four times as long."""
        return Caller(
            self.account,
            self.rights,
            self.catalogue,
            self.owner_id,
            request,
            self.actor,
            self.member,
            self.token,
            self.proof,
            self.restrictions,
            self.trial,
        )

    @property
    def deprecations(self) -> tuple[Deprecation, ...]:
        """What answers say of an account-wide token; nothing for all others."""
        return () if self.token is None else deprecations.of_token(self.token, self.account)

    def is_admitted(self, address: str | None) -> bool:
        """Say whether the credential may be used from an address."""
        return self.restrictions is None or self.restrictions.networks.holds(address)

    @property
    def is_counted(self) -> bool:
        """Whether there are limits towards which each use counts, so that none is answered as the one before."""
        return self.restrictions is not None and bool(self.restrictions.counted)

    @property
    def is_session(self) -> bool:
        """Whether a person is here, not a script."""
        return self.actor is ActorKind.SESSION

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that must all allow."""
        return self.rights.sides if isinstance(self.rights, Authority) else ()

    @property
    def person_id(self) -> UUID | None:
        """Whose deed it is in the end: the member, or the one who made the service token that asks."""
        if self.member:
            return self.member.id
        return self.token.creator_id if self.token else None

    @property
    def actor_id(self) -> str:
        """Under which idempotency keys are kept: the member, else the token, else the actor's kind."""
        whom = self.member or self.token
        return str(whom.id) if whom else self.actor.value


def _may_somewhere(sides: Sequence[Side], action: Action) -> bool:
    return bool(sides) and all(_could(side, action.value) for side in sides)


def _could(side: Side, action: str) -> bool:
    return any(
        statement.effect is Effect.ALLOW and statement.speaks_of(action)
        for named in side.policies
        for statement in named.policy.policy
    )


_remembered: OrderedDict[bytes, Caller] = OrderedDict()
"""Callers by the mark of the secret that was presented."""
lookups = Lookups()
"""Of callers in that memory."""
_MARK_KEY = secrets.token_bytes(32)


def forget() -> None:
    """Forget all callers: the server has other keys, so each is found anew, under the newest."""
    _remembered.clear()


def _mark(credential: str) -> bytes:
    """Digest a presented secret for this process's memory, under a key that nothing else knows."""
    return blake2b(credential.encode("utf-8", "surrogatepass"), key=_MARK_KEY, digest_size=32).digest()


async def identify(credential: str, request: Request) -> Caller:
    """Make a caller from a presented secret. Raises `Unauthenticated` for all that does not work now.

    A caller in memory is used only while its account's version, looked at at every use, is the one it was built from,
    and while its token and its secret last. Unknown secrets never enter the memory, and a secret that is over, or comes
    from where it may not be used, takes the same work as one that never was.
    """
    mark = _mark(heard(credential))
    known = _remembered.get(mark)
    if (
        known is not None
        and known.request.house is request.house
        and lives(known)
        and known.is_admitted(request.address)
        and await is_unchanged(known)
    ):
        _remembered[mark] = _remembered.pop(mark, known)
        lookups.found += 1
        return known.asking(request)
    return await _recalled(credential, request)


def recognised(credential: str, house: House, address: str | None) -> Caller | None:
    """Find the caller whom `identify` would make for a request from an address, without waiting.

    None where it would have to ask the database. Its request is an earlier one.
    """
    mark = _mark(credential)
    known = _remembered.get(mark)
    if known is None or known.request.house is not house or not (is_current(known) and known.is_admitted(address)):
        return None
    _remembered.move_to_end(mark)
    lookups.found += 1
    return known


def is_current(caller: Caller) -> bool:
    """Say whether `identify` would make this caller again for the same credential, presented from the same address.

    It does not wait, so it says no as well where only the database can tell.
    """
    versions = caller.request.house.database.versions
    return lives(caller) and versions.known(caller.account.id) == caller.account.version


class Lease(NamedTuple):
    """For how long a caller is the one that was made: until a moment, and while nothing changes in the account.

    What is kept beside memory holds this in place of the caller, with all their policies.
    """

    versions: Versions
    account_id: UUID
    version: int
    ends_at: datetime | None

    @property
    def holds(self) -> bool:
        """Say whether it does. It does not wait, so it is no as well where only the database can tell."""
        if self.ends_at is not None and self.ends_at <= now():
            return False
        return self.versions.known(self.account_id) == self.version


def remembered() -> int:
    """Say how many callers are in memory."""
    return len(_remembered)


def lease(caller: Caller) -> Lease:
    """Say for how long a caller who lives is the one that was made."""
    ends = (caller.token and caller.token.ends_at(caller.account), getattr(caller.proof, "expires_at", None))
    ends_at = min((end for end in ends if end), default=None)
    return Lease(caller.request.house.database.versions, caller.account.id, caller.account.version, ends_at)


async def is_unchanged(caller: Caller) -> bool:
    """Say whether nothing has changed in the account since the caller was made."""
    return await caller.request.house.database.is_at(caller.account.id, caller.account.version)


async def used(credential: str, request: Request) -> Caller:
    """Make a caller as `identify` does, and note that the credential was used.

    Raises `RateLimited` beyond the limits of a token.
    """
    caller = await identify(credential, request)
    _note_use(caller)
    return caller


async def bearer(credential: str, account_id: UUID, request: Request) -> Caller:
    """Make the caller whose token was presented to a service, and note that it was used.

    Raises `Unauthenticated` for all but a living token of this account: sessions are their members' own; `RateLimited`
    beyond its limits.
    """
    caller = await identify(credential, request)
    if not is_bearer(caller, account_id):
        raise Unauthenticated
    _note_use(caller)
    return caller


def is_bearer(caller: Caller, account_id: UUID) -> bool:
    """Say whether it is a token of this account."""
    return caller.account.id == account_id and not caller.is_session


def use_of(caller: Caller, address: str | None, user_agent: str | None, deeds: tuple[Deed, ...] = ()) -> Use:
    """Describe how an identified caller's token is used: from an address, by a program, for some deeds."""
    assert caller.token is not None  # noqa: S101 - `identify` makes no others
    return caller.request.house.uses.of(caller.token, address, user_agent, deeds)


def _note_use(caller: Caller) -> None:
    use = use_of(caller, caller.request.address, caller.request.user_agent)
    use.note()
    caller.request.uses.append(use)
    caller.request.deprecations.extend(caller.deprecations)
    if caller.is_counted:
        _take(caller)


def _take(caller: Caller) -> None:
    assert caller.restrictions is not None  # noqa: S101 - `is_counted` says so
    request = caller.request
    try:
        request.house.rates.take(caller.restrictions.counted, request.standings)
    except RateLimited:
        note_deeds(caller, deed(NO_ACTION, allowed=False))
        raise


def note_deeds(caller: Caller, *deeds: Deed) -> None:
    """Note what was asked with the token whose use the caller's request is; nothing where it is none."""
    courses.decided(deeds)
    for use in caller.request.uses:
        use.add(deeds)


async def _recalled(credential: str, request: Request) -> Caller:
    lookups.missed += 1
    keys = request.house.keys
    digests = await _candidates(credential, keys, request.house)
    realms = request.house.realms
    while True:
        proof = await _proved("digest", [digest.hex for digest in digests])
        if proof.expires_at is not None and proof.expires_at <= now():
            request.house.reuses.note(proof.id, Presented(request.id, request.address, request.user_agent))
        _refuse_over(proof, request)
        realm = realms.find(proof.account) or await realms.read(proof.account)
        proof.account = realm.account  # one object for all who are remembered
        caller = await _in_realm(proof.token, realm, request, proof)
        # A fill that raced with a change may be torn between two states: it is thrown away.
        if await is_unchanged(caller):
            break
    realms.keep(realm)
    if request.house.keys is keys:  # else it was found by keys that may be no more
        _remembered[_mark(credential)] = caller
        if len(_remembered) > MEMORY_SIZE:
            _remembered.popitem(last=False)
        await _renewed(proof, digests[0])
    return caller


async def _candidates(credential: str, keys: ServerKeys, house: House) -> tuple[Digest, ...]:
    """Digest a presented text. Raises `Unauthenticated` for what no secret is that there may be."""
    try:
        return keys.candidates(Secret.parse(credential))
    except Malformed:
        pass
    try:
        secret = ForeignSecret.parse(credential)
    except Malformed:
        raise Unauthenticated from None
    if not await house.foreign.exist():
        raise Unauthenticated
    return keys.candidates(secret)


async def _renewed(proof: SecretDigest, newest: Digest) -> None:
    """Keep the digest of a secret under the newest server key, so that older keys can be retired one day."""
    if proof.key_id != newest.key_id:
        with suppress(OperationalError):  # a database too busy for it now is asked again after the next change
            kept = SecretDigest.filter(id=proof.id, key_id=proof.key_id)
            await kept.update(digest=newest.hex, key_id=newest.key_id)


async def again(caller: Caller, *, untouched: bool = False) -> Caller:
    """Make the caller anew, from the database alone. Called inside the transaction of every write.

    `untouched` says that the account is locked and nothing of it written yet: then what is remembered of the version
    that was just read is what the database would say.
    """
    match caller.proof:
        case SecretDigest(id=proof_id):
            proof = await _proved("id", [str(proof_id)])
            _refuse_over(proof, caller.request)
            fresh = await _proven(proof, caller.request, untouched=untouched)
            return replace(fresh, rights=caller.rights) if isinstance(caller.rights, Credential) else fresh
        case Job() as job:
            return await of_job(job, caller.request, untouched=untouched)
        case Link(id=link_id):
            link = await Link.get_or_none(id=link_id, expires_at__gt=now()).select_related("member")
            if link is None or link.member.state is MemberState.REMOVED:
                raise Unauthenticated
            return replace(caller, member=link.member, proof=link)
        case None if caller.member is not None:
            member = await Member.get(id=caller.member.id)
            was = caller.member
            if (member.state, member.password_hash) != (was.state, was.password_hash):
                raise Unauthenticated
            return replace(caller, member=member)
        case None:
            return replace(caller, catalogue=await catalogue_of(caller.account))


async def of_job(job: Job, request: Request, *, untouched: bool = False) -> Caller:
    """Make the caller in whose name a job is done: whoever started it, with what they may do now.

    Where a session started it, that is its member, whether or not the session lasts; a token must still work. Raises
    `Unauthenticated`.
    """
    proof = await _proved("id", [str(job.proof_id)])
    token, owner = proof.token, proof.token.owner
    if token.kind is not TokenKind.SESSION:
        _refuse_over(proof, request)
    elif owner is None or owner.state is not MemberState.ACTIVE:
        raise Unauthenticated
    return replace(await _proven(proof, request, untouched=untouched), proof=job)


async def _proven(proof: SecretDigest, request: Request, *, untouched: bool) -> Caller:
    realms = request.house.realms
    realm = (realms.find(proof.account) if untouched else None) or await realms.read(proof.account)
    return await _in_realm(proof.token, realm, request, proof)


async def _proved(column: str, values: list[str]) -> SecretDigest:
    """Find what proves a credential, with its token, that one's owner and the account."""
    statement = _proofs(dialect(), column, len(values))
    for proof in statement.rows(await found(statement.sql, values)):
        return proof
    raise Unauthenticated


def _refuse_over(proof: SecretDigest, request: Request) -> None:
    """End here for a secret that is over or may not come from there, as for one that was not found.

    Before anything else is read. Who holds the secret of an account-wide token that was retired is told so.
    """
    token, account = proof.token, proof.account
    is_over = _is_over(proof, token, account, token.owner)
    retired_at = token.retired_at(now(), account) if is_over else None
    if is_over and retired_at is None:
        raise Unauthenticated
    is_admitted = restrictions.networks_of(token).holds(request.address)
    if is_admitted and not is_over:
        return
    request.house.uses.of(token, request.address, request.user_agent).add([deed(NO_ACTION, allowed=False)])
    raise Retired(retired_at.isoformat()) if is_admitted and retired_at else Unauthenticated


@cache
def _proofs(_dialect: str, column: str, count: int) -> Statement[SecretDigest]:
    proofs = SecretDigest.filter(**{f"{column}__in": [str(new_id()) for _ in range(count)]}).order_by("id")
    return Statement.of(proofs.select_related("account", "token", "token__owner"))


async def of_token(token: Token, account: Account, request: Request) -> Caller:
    """Read what a token, or a session, may do now, from the database alone. The token's owner is fetched already."""
    return await _in_realm(token, await request.house.realms.read(account), request)


async def _in_realm(token: Token, realm: Realm, request: Request, proof: SecretDigest | None = None) -> Caller:
    member = token.owner
    held = await realm.roles_of(member) if member else ()
    own = await roles_of_token(token) if token.scope_kind is ScopeKind.CUSTOM_ROLES else ()
    sides = rights.of_token(token, own, member, held, realm.catalogue)
    member_id = str(member.id) if member else None
    authority = rights.authority(sides, realm.owner_id, member_id, realm.catalogue)
    trial = None
    if token.trial is not None:
        tried = rights.of_trial(token, await roles_on_trial(token), realm.catalogue, member)
        trial = rights.authority((tried, *sides[1:]), realm.owner_id, member_id, realm.catalogue)
    return Caller(
        realm.account,
        authority,
        realm.catalogue,
        realm.owner_id,
        request,
        actor=ActorKind(token.kind.value),
        member=member,
        token=token,
        proof=proof,
        restrictions=await restrictions.of_token(token, realm.account),
        trial=trial,
    )


def alive(caller: Caller) -> Caller:
    """Give the caller back. Raises `Unauthenticated` if what it was made of is over by now."""
    if not lives(caller):
        raise Unauthenticated
    return caller


async def current(caller: Caller) -> Caller:
    """Make the caller anew if anything has changed since, and see that their time is not over.

    Raises `Unauthenticated`.
    """
    alive(caller)
    return caller if await is_unchanged(caller) else await again(caller)


def lives(caller: Caller) -> bool:
    """Say whether what a caller was made of still lasts: the secret, the token, and its owner's place."""
    assert caller.token is not None  # noqa: S101 - called for tokens and sessions only
    return not _is_over(caller.proof, caller.token, caller.account, caller.member)


def _is_over(proof: SecretDigest | Link | Job | None, token: Token, account: Account, owner: Member | None) -> bool:
    asleep = owner is not None and owner.state is not MemberState.ACTIVE
    if asleep or token.revoked_at is not None:
        return True
    proof_ends = proof.expires_at if isinstance(proof, SecretDigest) else None
    token_ends = token.ends_at(account)
    if proof_ends is None and token_ends is None:  # most never end: then what time it is does not matter
        return False
    at = now()
    return any(ends is not None and ends <= at for ends in (token_ends, proof_ends))


async def roles_of_token(token: Token) -> list[Role]:
    """Read the custom roles in a token's scope, in the order of their keys."""
    held = await TokenRole.filter(account_id=token.account_id, token_id=token.id).select_related("role")
    return sorted((row.role for row in held), key=lambda role: role.key)


async def roles_on_trial(token: Token) -> list[Role]:
    """Read the custom roles in the scope that is tried on a token; one that is gone is left out."""
    keys = (token.trial or {}).get("roles")
    return await Role.filter(account_id=token.account_id, key__in=keys).order_by("key") if keys else []


async def with_credential(
    account: Account, request: Request, actor: ActorKind, member: Member | None = None, proof: Link | None = None
) -> Caller:
    """Make the caller of a deed that a password, a provider, a link or the command line allows."""
    catalogue = await catalogue_of(account)
    return Caller(account, Credential(), catalogue, await owner_of(account.id), request, actor, member, None, proof)
