"""Judging whether there is advice about a token, by what is known of its use and by proofs; and what to do about it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from core.covers import Allowance, covers, side_covers
from core.law import NamedPolicy, Side, SideKind
from core.networks import Networks
from core.policy import MAX_WORDS, CompiledPolicy
from core.suggesting import Suggestion, granted, suggested
from core.vocabulary import Action, BuiltInRole
from models import Json, Member, MemberState, Role, Token, TokenAccess, TokenKind, TokenOrigin
from resolvers import access, amends, evidence, usage
from resolvers.access import Effective, Exceeding, RoleWords
from resolvers.advice import ALIKE, LEGACY_END, NETWORKS, PROGRAMS, Advice, AdviceKind, Evidence, K, is_broad
from resolvers.amends import Step
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.rights import INLINE
from resolvers.uses import NO_ACTION

STEPS = 20_000
"""What the proofs for one token may cost, a tenth of what a request may. What takes more gives no advice."""
LEAST_STEPS = 5_000
"""What they cost at least: reading all that a scope says takes longer than to compare it. So a request is for forty."""

Judged: TypeAlias = list[Advice | None]
"""Of each row looked at, the advice on it; shorter than the rows where the allowance did not suffice for the rest."""
Judge: TypeAlias = Callable[[Sequence[Token]], Awaitable[Judged]]


@dataclass(frozen=True, slots=True)
class _Uses:
    """How a token was used: what limits it, what on, and how often which action."""

    sides: tuple[Side, ...]
    accesses: Sequence[TokenAccess]
    counted: Mapping[str, int]


@dataclass
class Bench:
    """Judges the tokens that one caller asks about, all at one moment; `days` is how long rights may go unused."""

    caller: Caller
    at: datetime
    days: int
    _proven: dict[Hashable, Any] = field(default_factory=dict)
    """What was proven of a token's sides, for all whose sides are the same."""

    @property
    def is_spent(self) -> bool:
        """Whether the request's allowance does not suffice for one more token."""
        return self.caller.request.allowance.steps < STEPS

    def judge(self, kind: AdviceKind) -> Judge:
        """Give what judges tokens of which there may be advice of a kind."""
        match kind:
            case K.SHARED:
                return self._shared
            case K.OVER_GRANTED:
                return self._over_granted
            case K.EXCEEDS_OWNER:
                return self._exceeding
            case K.UNATTENDED:
                return self._unattended
            case K.ACCOUNT_TOKEN_USED:
                return self._legacy

        async def plain(tokens: Sequence[Token]) -> Judged:
            return [self._plain(kind, token) for token in tokens]

        return plain

    async def roles(self, roles: Sequence[Role]) -> Judged:
        """Advise on roles that nobody holds, as far as the caller may see who does."""
        return [
            Advice(K.EMPTY_ROLE, role, "Nobody holds this role, and no token has it.", (amends.delete_role(role),))
            if self.caller.sees(Action.VIEW_ROLE_POLICY, role)
            else None
            for role in roles
        ]

    def _plain(self, kind: AdviceKind, token: Token) -> Advice:
        """Advise on what the token's own columns say."""
        used = f"last used on {token.last_used_at:%Y-%m-%d}" if token.last_used_at else "never used"
        made = f"made on {token.created_at:%Y-%m-%d}"
        match kind:
            case K.ACCOUNT_TOKEN_UNUSED:
                reason = f"This account-wide token was {made} and {used}. Revoke it."
            case K.NEVER_USED:
                reason = f"This token was {made} and {used}. Revoke it."
            case K.UNUSED:
                reason = f"This token was {used}. Revoke it."
            case K.NO_EXPIRY:
                ends = amends.end(token, amends.lifetime_end(self.caller.account, token.kind, self.at))
                return Advice(kind, token, "This token never ends. Give it an end.", (ends,))
            case _:
                reason = f"This token ends on {token.expires_at:%Y-%m-%d}. Prolong it, unless its use ends too."
                ends = amends.end(token, amends.lifetime_end(self.caller.account, token.kind, self.at))
                return Advice(kind, token, reason, (ends,))
        return Advice(kind, token, reason, (amends.revoke(token),))

    async def _legacy(self, tokens: Sequence[Token]) -> Judged:
        origins = await self._origins(tokens)
        since = self.at - ALIKE
        uses = await usage.accesses(self.caller.account.id, [token.id for token in tokens], since)
        return [
            Advice(
                K.ACCOUNT_TOKEN_USED,
                token,
                f"This account-wide token was last used on {token.last_used_at:%Y-%m-%d}, and whoever has it may do "
                "all that it may. Give it an end, and make a token for each use until then.",
                (amends.end(token, self.at + LEGACY_END),),
                _of_origins(since, origins[token.id], uses[token.id]),
            )
            for token in tokens
        ]

    async def _origins(self, tokens: Sequence[Token]) -> Mapping[UUID, list[TokenOrigin]]:
        found = await usage.origins(self.caller.account.id, [token.id for token in tokens])
        since = self.at - ALIKE
        return {token_id: [each for each in rows if each.last_at >= since] for token_id, rows in found.items()}

    async def _unattended(self, tokens: Sequence[Token]) -> Judged:
        asking = self.caller.member.id if self.caller.member else None
        owner = UUID(self.caller.owner_id) if self.caller.owner_id else None
        wanted = {asking, owner, *(token.creator_id for token in tokens)} - {None}
        active = readable(self.caller, Member).filter(id__in=list(wanted), state=MemberState.ACTIVE)
        known = {member.id for member in await active}

        def advised(token: Token) -> Advice:
            whom = next((each for each in (token.creator_id, asking, owner) if each in known), None)
            steps = () if whom is None else (amends.hand_over(token, whom),)
            return Advice(K.UNATTENDED, token, "Nobody active answers for this token. Name somebody who does.", steps)

        return [advised(token) for token in tokens]

    async def _shared(self, tokens: Sequence[Token]) -> Judged:
        origins = await self._origins(tokens)
        roles = await access.roles_of_tokens(self.caller, [token.id for token in tokens])
        uses = await self._uses(tokens)

        def judged(token: Token, allowance: Allowance) -> Advice | None:
            shown = _of_origins(self.at - ALIKE, origins[token.id])
            apart = _apart(token, shown)
            if not apart:
                return None
            reason = (
                f"{_many(shown.programs, 'program')} in {_many(shown.networks, 'network')} used this token within "
                f"{ALIKE.days} days. Make a token for each use."
            )
            found = self._narrower(uses[token.id], allowance, anew=True)
            scope = amends.scope_of(token, [role.key for role in roles.get(token.id, ())])
            if found is not None:
                scope, shown = amends.scope_as(found.policy), replace(shown, policy=found.policy)
            elif is_broad(token) or not self._stays_within(uses[token.id], allowance):
                apart = []  # what may do it all is not made many, and nothing that may more than this one
            steps = amends.replace(self.caller, token, self.at, apart, scope)
            return Advice(K.SHARED, token, reason, steps, shown)

        return await self._row_by_row(tokens, judged)

    async def _over_granted(self, tokens: Sequence[Token]) -> Judged:
        uses = await self._uses(tokens)

        def judged(token: Token, allowance: Allowance) -> Advice | None:
            found = self._narrower(uses[token.id], allowance, anew=token.kind is TokenKind.SERVICE)
            if found is None:
                return None
            less = f"{len(found.unused)} of its actions" if found.unused else "some of its resources"
            reason = (
                f"What this token was used for in {self.days} days takes less than its scope has: {less} went unused."
            )
            shown = Evidence(self._since, uses[token.id].accesses, unused=found.unused, policy=found.policy)
            return Advice(K.OVER_GRANTED, token, reason, self._narrowing(token, found), shown)

        return await self._row_by_row(tokens, judged)

    @property
    def _since(self) -> datetime:
        return self.at - timedelta(days=self.days)

    async def _uses(self, tokens: Sequence[Token]) -> Mapping[UUID, "_Uses"]:
        account_id, ids = self.caller.account.id, [token.id for token in tokens]
        sides = await access.effective(self.caller, tokens)
        accesses = await usage.accesses(account_id, ids, self._since)
        counted = await evidence.daily(account_id, ids, self._since)
        return {each: _Uses(sides[each].sides, accesses[each], counted[each]) for each in ids}

    async def _row_by_row(self, tokens: Sequence[Token], judge: Callable[[Token, Allowance], Advice | None]) -> Judged:
        """Judge one after the other while the request's allowance suffices, letting others have a turn in between."""
        judged: Judged = []
        for token in tokens:
            if self.is_spent:
                break
            own = Allowance(STEPS)
            judged.append(judge(token, own))
            if own.steps < STEPS:
                self.caller.request.allowance.takes(max(STEPS - own.steps, LEAST_STEPS))
            await asyncio.sleep(0)
        return judged

    def _narrower(self, uses: "_Uses", allowance: Allowance, *, anew: bool) -> Suggestion | None:
        """Suggest a narrower scope, where it is known what the token was used for and the caller may see its scope.

        `anew`: as the scope of another token, which may then do no more than this one.
        """
        scope, *_ = uses.sides
        if uses.counted.get(NO_ACTION) or not self._shows(scope):
            return None
        catalogue = self.caller.catalogue
        used = evidence.used(uses.accesses, uses.counted)
        found = suggested([named.policy for named in scope.policies], used, catalogue, allowance)
        if found is None or not anew:
            return found
        narrow = Side(SideKind.SCOPE, (NamedPolicy(INLINE, CompiledPolicy(found.policy, catalogue)),))
        return found if self._stays_within(uses, allowance, narrow) else None

    def _stays_within(self, uses: "_Uses", allowance: Allowance, scope: Side | None = None) -> bool:
        """Prove that a scope, the present one unless given, is within the ceilings: these bind no other token."""
        ceilings = [side for side in uses.sides if side.kind is SideKind.CEILING]
        scope = scope or uses.sides[0]
        return all(side_covers(each, scope, self.caller.catalogue, allowance) for each in ceilings)

    def _shows(self, *sides: Side) -> bool:
        """Say whether the caller may see the words of all policies on some sides."""
        words = (RoleWords.of(named.name) for side in sides for named in side.policies)
        return all(each is None or self.caller.sees(Action.VIEW_ROLE_POLICY, each) for each in words)

    def _narrowing(self, token: Token, found: Suggestion) -> tuple[Step, ...]:
        if token.kind is not TokenKind.SERVICE:
            return (amends.narrow(token, found.policy),)
        return amends.replace(self.caller, token, self.at, [{"name": token.name}], amends.scope_as(found.policy))

    async def _exceeding(self, tokens: Sequence[Token]) -> Judged:
        sides = await access.effective(self.caller, tokens)

        def judged(token: Token, allowance: Allowance) -> Advice | None:
            scope, owner, *_ = sides[token.id].sides
            key = (scope, owner)
            if key not in self._proven:
                self._proven[key] = self._within(scope, owner, allowance)
            exceeding, wanted = self._proven[key]
            if not exceeding:
                return None
            reason = (
                f"This token's scope reaches beyond what its owner may do now, in {len(exceeding)} of its statements: "
                "dead today, alive when the owner is promoted. Leave that out."
            )
            steps = () if wanted is None else (amends.change(token, scope=wanted),)
            return Advice(K.EXCEEDS_OWNER, token, reason, steps, Evidence(exceeding=exceeding))

        return await self._row_by_row(tokens, judged)

    def _within(
        self, scope: Side, owner: Side, allowance: Allowance
    ) -> tuple[Sequence[Exceeding], Mapping[str, Json] | None]:
        """Find what of a scope exceeds the owner's rights, and a scope that does not and loses nothing alive."""
        catalogue = self.caller.catalogue
        exceeding = Effective((scope, owner), catalogue, allowance).exceeding
        if not exceeding or not allowance.steps:  # without an allowance, nothing was proven either way
            return (), None
        policies = [named.policy for named in scope.policies]
        held = owner.policies[0].name if len(owner.policies) == 1 else ""
        if held in list(BuiltInRole) and covers(policies, [owner.policies[0].policy], catalogue, allowance):
            return exceeding, {"builtInRole": BuiltInRole(held).name}
        if not self._shows(scope, owner):
            return exceeding, None
        theirs = granted([named.policy for named in owner.policies], catalogue)
        found = suggested(policies, theirs, catalogue, allowance, most_names=MAX_WORDS)
        if found is None:
            return exceeding, None
        narrow = Side(SideKind.SCOPE, (NamedPolicy(INLINE, CompiledPolicy(found.policy, catalogue)),))
        inside = not Effective((narrow, owner), catalogue, allowance).exceeding
        return exceeding, amends.scope_as(found.policy) if inside else None


def _apart(token: Token, shown: Evidence) -> list[amends.Use]:
    """Tell the uses of a token apart: by program, or else by network; none if it is not shared."""
    if len(shown.programs) >= PROGRAMS:
        return [{"name": f"{token.label}: {program}"} for program in shown.programs]
    if len(shown.networks) >= NETWORKS:
        return [{"name": f"{token.label}: {block}", "networks": _inside(token, block)} for block in shown.networks]
    return []


def _inside(token: Token, block: str) -> list[str]:
    """Restrict a token further to a block, as far as its own networks are within it or around it."""
    own, wanted = Networks.of(token.networks), Networks.of([block])
    if wanted.within(own):
        return [block]
    return [text for text in token.networks if Networks.of([text]).within(wanted)] or list(token.networks)


def _of_origins(since: datetime, origins: Sequence[TokenOrigin], accesses: Sequence[TokenAccess] = ()) -> Evidence:
    programs, networks = evidence.programs(origins), evidence.networks(origins)
    return Evidence(since, accesses, origins, programs, networks)


def _many(things: Sequence[str], what: str) -> str:
    return f"one {what}" if len(things) == 1 else f"{len(things)} {what}s"
