"""What the built-in roles allow, held against the table in built_in_roles.txt.

After a wanted change, write the table anew: `python -m tests.core.test_built_in_roles`.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest

from core.built_in_roles import built_in_policy
from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.covers import covers
from core.law import Authority, NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy, check, parse_policy
from core.specifiers import Malformed, Resource
from core.vocabulary import CREDENTIAL_ONLY, OWN_KINDS, OWNER_ONLY, Action, BuiltInRole

TABLE = Path(__file__).with_name("built_in_roles.txt")
HEAD = """\
What the built-in roles allow: `x` yes, `.` no, `-` not a question, since the owner is the owner.
On members and their tokens, what is asked of differs: oneself, another member, or the owner of the account.
A service with such a scope may what its column says, on members what it says of others and of the owner.
"""
CATALOGUE = Catalogue.of(
    [
        *OWN_KINDS,
        Kind("proj", (KindAction("viewProject", Mark.READ, gate=True), KindAction("updateProject", Mark.WRITE))),
        Kind(
            "env",
            (
                KindAction("viewSdkKey", Mark.READ),
                KindAction("updateTtl", Mark.WRITE),
                KindAction("rekey", Mark.MANAGE),
            ),
            parents=("proj",),
        ),
        Kind("quota", (KindAction("updateQuota", Mark.WRITE),), parents=("proj",), singleton=True),
    ]
)


def authority(role: BuiltInRole, self_id: str | None = "self") -> Authority:
    policy = CompiledPolicy(built_in_policy(role, CATALOGUE, self_id), CATALOGUE)
    owner_id = "self" if role is BuiltInRole.OWNER and self_id else "owner"
    return Authority((Side(SideKind.OWNER, (NamedPolicy(role, policy),)),), owner_id, self_id)


def questions() -> Iterator[tuple[str, KindAction, Resource]]:
    """Give all that the table asks, with the title of its block."""
    for path in CATALOGUE.paths:
        for title, resource in resources(path):
            for action in CATALOGUE.kinds[path[-1]].actions:
                yield title, action, resource


def resources(path: tuple[str, ...]) -> list[tuple[str, Resource]]:
    """Give the resources of a path that the table has a block for, with its title."""
    if path[0] == "member":
        whom = ["self", "other", "owner"]
        return [
            (f"{':'.join(path)} of {each}", Resource.of(("member", each), *((kind, "t") for kind in path[1:])))
            for each in whom
        ]
    segments = [(kind, None if CATALOGUE.kinds[kind].singleton else "any") for kind in path]
    return [(":".join(path), Resource.of(*segments))]


def table() -> str:
    lines, block = [HEAD.rstrip()], ""
    for title, action, resource in questions():
        if title != block:
            lines += [f"\n{title:40}" + "  ".join(BuiltInRole)]
            block = title
        cells = (f"{answer(role, action, resource):{len(role)}}" for role in BuiltInRole)
        lines.append(f"  {action.key:30}{action.mark.value:8}{'  '.join(cells)}".rstrip())
    return "\n".join(lines) + "\n"


def answer(role: BuiltInRole, action: KindAction, resource: Resource) -> str:
    if role is BuiltInRole.OWNER and "owner" in resource.names:
        return "-"
    return "x" if authority(role).allows(action.key, resource) else "."


def test_the_built_in_roles_allow_what_the_table_says() -> None:
    assert table() == TABLE.read_text()


def test_a_role_held_by_nobody_in_particular_has_nothing_on_oneself() -> None:
    for role in BuiltInRole:
        mine, nobodys = (built_in_policy(role, CATALOGUE, self_id) for self_id in ("self", None))
        assert mine[: len(nobodys)] == nobodys
        assert "self" not in str([line.json() for line in nobodys])
        assert len(mine) - len(nobodys) == (0 if role is BuiltInRole.NO_ACCESS else 2)


def test_a_service_may_what_a_member_may_on_others() -> None:
    for (_, action, resource), role in product(questions(), BuiltInRole):
        if not {"self", "owner"} & {*resource.names} and ("acct", action.key) not in OWNER_ONLY:
            service = authority(role, None).allows(action.key, resource)
            assert service is authority(role).allows(action.key, resource)


@pytest.mark.parametrize("self_id", ["*", "a*", "${roleAttribute/x}", "", "a:token"])
def test_an_id_never_reaches_another_member(self_id: str) -> None:
    with pytest.raises(Malformed):
        built_in_policy(BuiltInRole.READER, CATALOGUE, self_id)


@pytest.mark.parametrize("role", BuiltInRole)
def test_a_built_in_policy_can_be_written_and_read_as_any_other(role: BuiltInRole) -> None:
    policy = built_in_policy(role, CATALOGUE, "self")
    again = parse_policy([line.json() for line in policy], "policy")
    assert again == policy
    check(again, CATALOGUE, "policy")


def test_what_an_integration_adds_is_in_the_roles_by_its_mark() -> None:
    added = Catalogue.of([*CATALOGUE, Kind("page", tuple(KindAction(f"do{mark}", mark) for mark in Mark))])
    for role, marks in {
        BuiltInRole.NO_ACCESS: [],
        BuiltInRole.READER: [Mark.READ],
        BuiltInRole.WRITER: [Mark.READ, Mark.WRITE],
        BuiltInRole.ADMIN: list(Mark),
        BuiltInRole.OWNER: list(Mark),
    }.items():
        policy = CompiledPolicy(built_in_policy(role, added, None), added)
        assert [mark for mark in Mark if policy.allows(f"do{mark}", Resource.parse("page/p"))] == marks


def test_writers_write_to_what_integrations_define_only() -> None:
    own = replace(CATALOGUE.kinds["role"], actions=(KindAction("polish", Mark.WRITE),))
    policy = CompiledPolicy(built_in_policy(BuiltInRole.WRITER, Catalogue.of([*CATALOGUE, own]), None), CATALOGUE)
    assert not policy.allows("polish", Resource.parse("role/r"))


def test_no_policy_but_the_owners_speaks_of_what_is_the_owners_alone() -> None:
    for role in BuiltInRole:
        policy = CompiledPolicy(built_in_policy(role, CATALOGUE, "self"), CATALOGUE)
        for kind, action in OWNER_ONLY:
            assert policy.allows(action, Resource.of((kind, None))) is (role is BuiltInRole.OWNER)


def test_each_role_may_all_that_those_before_it_may() -> None:
    policies = [CompiledPolicy(built_in_policy(role, CATALOGUE, "me"), CATALOGUE) for role in BuiltInRole]
    assert all(covers([wide], [narrow], CATALOGUE) for narrow, wide in pairwise(policies))


def test_each_action_stands_on_a_kind_or_is_named_as_one_that_no_policy_grants() -> None:
    standing = {action.key for kind in OWN_KINDS for action in kind.actions}
    assert standing.isdisjoint(CREDENTIAL_ONLY)
    assert standing | CREDENTIAL_ONLY == set(Action)
    assert {action for action in Action if "no policy grants it" in action.description} == CREDENTIAL_ONLY


if __name__ == "__main__":
    TABLE.write_text(table())
