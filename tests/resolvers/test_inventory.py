"""The inventory: each filter of tokens, and all of them together, finds what a naive reading of it finds."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from core.vocabulary import Action, BuiltInRole
from models import Account, Member, MemberState, Role, ScopeKind, Token, TokenKind, TokenRole, TokenState, new_id, now
from resolvers import lists
from resolvers.callers import Caller
from resolvers.lists import TokenFilter
from resolvers.tokens import state
from tests.effort import tries
from tests.organisation import Organisation

MOMENTS = [datetime(2020, 1, day, tzinfo=UTC) for day in range(1, 6)]
ENDS = [None, *MOMENTS[1:4], *(datetime(2990, 1, day, tzinfo=UTC) for day in range(1, 6))]
KINDS = (TokenKind.PERSONAL, TokenKind.SERVICE, TokenKind.ACCOUNT, TokenKind.SESSION)
NAMES = ("deploy", "Deploy 100%", "night_ly", "backup", "")
TOKENS = 120


@dataclass
class Inventory:
    """Random tokens, the members and roles they refer to, and who looks at them."""

    tokens: list[Token]
    members: dict[UUID, Member]
    roles: dict[UUID, Role]
    held: dict[UUID, set[str]]
    callers: list[Caller]

    @classmethod
    async def of(cls, organisation: Organisation) -> "Inventory":
        """Draw one."""
        chance = Random(7)  # noqa: S311 - rows to find, not secrets
        account_id = organisation.account.id
        allow = {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]}
        roles = [await organisation.role(key, allow) for key in ("seen", "unseen")]
        people = [await organisation.member(state=each) for each in (*MemberState, *MemberState)]
        some = [{"effect": "allow", "actions": ["viewAccessToken"], "resources": [words]} for words in TOKEN_WORDS]
        few = [f"member/{member.id}" for member in people[::2]]
        some.append({"effect": "allow", "actions": ["viewMember"], "resources": few})
        some.append({"effect": "allow", "actions": ["viewRole"], "resources": ["role/seen"]})
        limited = await organisation.member(custom=(await organisation.role("limited", *some),))
        callers = [organisation.owner, await organisation.session(limited)]
        tokens: list[Token] = []
        held: dict[UUID, set[str]] = {}
        for _ in range(TOKENS):
            kind = chance.choice(KINDS)
            owned = kind in {TokenKind.PERSONAL, TokenKind.SESSION}
            made = Token(
                id=new_id(),
                account_id=account_id,
                kind=kind,
                owner_id=chance.choice(people).id if owned else None,
                creator_id=chance.choice([None, *(member.id for member in people)]),
                responsible_id=None if owned else chance.choice([None, *(member.id for member in people)]),
                parent_id=chance.choice([None, *(token.id for token in tokens[-3:])]),
                name=chance.choice(NAMES),
                scope_kind=chance.choice((ScopeKind.BUILT_IN, ScopeKind.CUSTOM_ROLES, ScopeKind.INLINE)),
                created_at=chance.choice(MOMENTS),
                expires_at=chance.choice(ENDS),
                last_used_at=chance.choice([None, *MOMENTS]),
                revoked_at=chance.choice([None, None, None, MOMENTS[0]]),
                ending="abcd",
            )
            if made.scope_kind is ScopeKind.BUILT_IN:
                made.scope_role = chance.choice(list(BuiltInRole))
            await made.save()
            if made.scope_kind is ScopeKind.CUSTOM_ROLES:
                for role in chance.sample(roles, chance.choice([1, 2])):
                    await TokenRole.create(account_id=account_id, token_id=made.id, role_id=role.id)
                    held.setdefault(made.id, set()).add(role.key)
            tokens.append(made)
        everyone = await Member.filter(account_id=account_id)
        return cls(tokens, {each.id: each for each in everyone}, {each.id: each for each in roles}, held, callers)

    def filters(self) -> list[TokenFilter]:
        """Draw filters: each criterion alone, and several together. Hypothesis runs no coroutine, so it only draws."""
        somebody = st.sampled_from([*self.members, new_id()])
        moment = st.sampled_from([*MOMENTS, ENDS[-2], MOMENTS[2] + timedelta(hours=1)])
        values: dict[str, st.SearchStrategy[Any]] = {
            "kind": st.sampled_from(KINDS[:3]),
            "state": st.sampled_from(TokenState),
            "owner_id": somebody,
            "creator_id": somebody,
            "responsible_id": somebody,
            "parent_id": st.sampled_from([token.id for token in self.tokens]),
            "role": st.sampled_from(["seen", "unseen", "none"]),
            "built_in_role": st.sampled_from(BuiltInRole),
            "text": st.sampled_from(["dep", "0%", "_", "IGHT"]),
        }
        for each in fields(TokenFilter):
            if each.name not in values:
                values[each.name] = moment if each.name.endswith(("_from", "_before")) else st.booleans()
        drawn = [TokenFilter()]

        @settings(max_examples=10, deadline=None, database=None)
        @given(st.data())
        def one(data: st.DataObject) -> None:
            drawn.extend(TokenFilter(**{name: data.draw(value)}) for name, value in values.items())

        @settings(max_examples=tries(60), deadline=None, database=None)
        @given(st.lists(st.sampled_from(sorted(values)), min_size=2, max_size=4, unique=True), st.data())
        def several(names: list[str], data: st.DataObject) -> None:
            drawn.append(TokenFilter(**{name: data.draw(values[name]) for name in names}))

        one()
        several()
        return drawn

    def seen(self, caller: Caller) -> set[Any]:
        """List the ids of members and tokens, and the keys of roles, that a caller sees. Sessions are no tokens."""
        tokens = [each for each in self.tokens if each.kind is not TokenKind.SESSION]
        return {
            *(each.id for each in self.members.values() if caller.sees(Action.VIEW_MEMBER, each)),
            *(each.key for each in self.roles.values() if caller.sees(Action.VIEW_ROLE, each)),
            *(each.id for each in tokens if caller.sees(Action.VIEW_ACCESS_TOKEN, each)),
        }

    def is_wanted(self, seen: set[Any], token: Token, wanted: TokenFilter) -> bool:
        """Read a filter naively: say whether a token is one of those wanted, among what is seen."""
        responsible = self.members.get(token.responsible_id) if token.responsible_id else None
        attended = responsible is not None and responsible.state is MemberState.ACTIVE
        owner = self.members.get(token.owner_id) if token.owner_id else None
        holds: Mapping[str, bool] = {
            "kind": token.kind is wanted.kind,
            "state": state(token, Account(), owner, now()) is wanted.state,
            "owner_id": token.owner_id == wanted.owner_id and wanted.owner_id in seen,
            "creator_id": token.creator_id == wanted.creator_id and wanted.creator_id in seen,
            "responsible_id": token.responsible_id == wanted.responsible_id and wanted.responsible_id in seen,
            "unattended": (token.owner_id is None and not attended) is wanted.unattended,
            "parent_id": token.parent_id == wanted.parent_id and wanted.parent_id in seen,
            "role": wanted.role in self.held.get(token.id, set()) & seen,
            "built_in_role": token.scope_role is wanted.built_in_role,
            "endless": (token.expires_at is None) is wanted.endless,
            "never_used": (token.last_used_at is None) is wanted.never_used,
            "text": (wanted.text or "").lower() in token.name.lower(),
            "created_from": bool(wanted.created_from and token.created_at >= wanted.created_from),
            "created_before": bool(wanted.created_before and token.created_at < wanted.created_before),
            "expires_from": bool(wanted.expires_from and token.expires_at and token.expires_at >= wanted.expires_from),
            "expires_before": bool(
                wanted.expires_before and token.expires_at and token.expires_at < wanted.expires_before
            ),
            "last_used_from": bool(
                wanted.last_used_from and token.last_used_at and token.last_used_at >= wanted.last_used_from
            ),
            "last_used_before": bool(
                wanted.last_used_before and token.last_used_at and token.last_used_at < wanted.last_used_before
            ),
        }
        asked = [each.name for each in fields(wanted) if getattr(wanted, each.name) is not None]
        return token.id in seen and all(holds[name] for name in asked)


TOKEN_WORDS = ("member/*:token/*", "service-token/*")


async def test_each_filter_finds_what_a_naive_reading_finds(organisation: Organisation) -> None:
    inventory = await Inventory.of(organisation)
    found = 0
    seen = [inventory.seen(caller) for caller in inventory.callers]
    for wanted in inventory.filters():
        for caller, sight in zip(inventory.callers, seen, strict=True):
            rows = {row.id for row in await (await lists.tokens(caller, wanted))}
            assert rows == {row.id for row in inventory.tokens if inventory.is_wanted(sight, row, wanted)}, wanted
            found += len(rows)
    assert found > tries(500)


async def test_no_filter_tells_of_members_roles_or_tokens_that_are_hidden(organisation: Organisation) -> None:
    hidden = await organisation.member(BuiltInRole.ADMIN)
    maker = await organisation.session(hidden)
    role = await organisation.role("secret", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    parent = await organisation.made(maker, name="parent")
    child = await organisation.made(await organisation.identify(parent), name="child")
    sees = {"effect": "allow", "actions": ["viewAccessToken"], "resources": [f"member/*:token/{child.row.id}"]}
    blind = await organisation.session(await organisation.member(custom=(await organisation.role("blind", sees),)))
    await TokenRole.create(account_id=organisation.account.id, token_id=child.row.id, role_id=role.id)
    for given_ in (
        {"owner_id": hidden.id},
        {"creator_id": hidden.id},
        {"parent_id": parent.row.id},
        {"role": "secret"},
    ):
        wanted = TokenFilter(**given_)
        assert child.row.id in {row.id for row in await (await lists.tokens(organisation.owner, wanted))}
        assert await (await lists.tokens(blind, wanted)) == []
    assert [row.id for row in await (await lists.tokens(blind, TokenFilter()))] == [child.row.id]
