"""Resource kinds: what may be defined, what would let others gain, and what keeps the catalogue small."""

from dataclasses import replace
from typing import Any

import pytest

from core.catalogue import Kind, KindAction, Mark
from core.errors import Conflict, Forbidden, Invalid
from core.vocabulary import BuiltInRole
from models import ResourceKind
from resolvers import kinds
from resolvers.callers import Caller
from resolvers.writing import Said
from tests.organisation import ENV, FLAG, PROJ, Organisation
from tests.resolvers.conftest import Refused

VIEW = KindAction("view", Mark.READ)
KINDS = {"effect": "allow", "actions": ["*"], "resources": ["kind/*"]}


def kind(key: str = "thing", **wanted: Any) -> Kind:
    return replace(Kind(key, (VIEW,), name="Thing"), **wanted)


async def keeper(organisation: Organisation) -> Caller:
    """Sign in somebody who may do everything with kinds, and nothing else."""
    role = await organisation.role("keeper", KINDS)
    return await organisation.session(await organisation.member(custom=[role]))


async def test_a_kind_is_defined_and_changed_as_asked(organisation: Organisation) -> None:
    asked = kind(
        name=" Thing ",
        description=" of ours\n",
        parents=("proj",),
        properties=("critical",),
        taggable=True,
        actions=(KindAction("view", Mark.READ, " look ", gate=True), KindAction("turnOn", Mark.WRITE)),
    )
    done = await kinds.define(organisation.owner, asked, Said("new"))
    shown = {
        "key": "thing",
        "name": "Thing",
        "description": "of ours",
        "parents": ["proj"],
        "properties": ["critical"],
        "taggable": True,
        "singleton": False,
        "actions": [
            {"key": "view", "mark": "READ", "description": "look", "gate": True},
            {"key": "turnOn", "mark": "WRITE", "description": "", "gate": False},
        ],
    }
    assert done.entry
    assert done.entry.accesses == [{"action": "createKind", "resource": "kind/thing"}]
    assert (done.entry.before, done.entry.after, done.entry.comment) == (None, shown, "new")
    assert (await ResourceKind.get(id=done.row.id)).snapshot() == shown
    assert (await kinds.define(organisation.owner, asked, Said())).entry is None
    done = await kinds.define(organisation.owner, replace(asked, name="Other"), Said())
    assert done.entry
    assert done.entry.accesses == [{"action": "updateKind", "resource": "kind/thing"}]
    assert (done.entry.before, done.entry.after) == (shown, {**shown, "name": "Other"})


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("key", kind("")),
        ("key", kind("k" * 300)),
        ("key", kind("Thing")),
        ("key", kind("a/b")),
        ("key", kind("member")),
        ("key", kind("acct")),
        ("key", kind("webhook")),
        ("key", kind("gate")),
        ("name", kind(name="")),
        ("name", kind(name="a\u2028b")),
        ("description", kind(description="x" * 1025)),
        ("actions", kind(actions=())),
        ("actions", kind(actions=tuple(KindAction(f"a{n}", Mark.READ) for n in range(201)))),
        ("actions[0].key", kind(actions=(KindAction("", Mark.READ),))),
        ("actions[1].key", kind(actions=(VIEW, KindAction("Turn on", Mark.READ)))),
        ("actions[1].key", kind(actions=(VIEW, VIEW))),
        ("actions[0].key", kind(actions=(KindAction("*", Mark.READ),))),
        ("actions[0].key", kind(actions=(KindAction("a" * 300, Mark.READ),))),
        ("actions[0].description", kind(actions=(KindAction("view", Mark.READ, "a\x00"),))),
        ("properties[0]", kind(properties=("a b",))),
        ("properties[1]", kind(properties=("a", "a"))),
        ("parents[0]", kind(parents=("nothing",))),
        ("parents[0]", kind(parents=("member",))),
        ("parents[0]", kind(parents=("thing",))),
        ("parents[1]", kind(parents=("proj", "proj"))),
        ("parents[0]", replace(PROJ, parents=("flag",))),
        ("parents[0]", replace(PROJ, parents=("proj",))),
        ("parents[1]", replace(ENV, parents=("proj", "flag"))),
    ],
)
async def test_a_bad_kind_names_the_field(
    organisation: Organisation, refused: Refused, field: str, wanted: Kind
) -> None:
    with refused(Invalid) as refusal:
        await kinds.define(organisation.owner, wanted, Said())
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": field}


async def test_kinds_do_not_nest_without_end(organisation: Organisation, refused: Refused) -> None:
    above: tuple[str, ...] = ()
    for depth in range(kinds.MAX_DEPTH):
        await kinds.define(organisation.owner, kind(f"deep-{depth}", parents=above), Said())
        above = (f"deep-{depth}",)
    with refused(Invalid) as refusal:
        await kinds.define(organisation.owner, kind("too-deep", parents=above), Said())
    assert refusal.value.field == "parents"
    with refused(Invalid) as refusal:
        await kinds.define(organisation.owner, kind("deep-0", parents=("proj",)), Said())
    assert refusal.value.field == "parents"


async def test_ways_down_the_kinds_do_not_double_without_end(organisation: Organisation, refused: Refused) -> None:
    above: tuple[str, ...] = ()
    for level in range(8):
        pair = tuple(f"{side}-{level}" for side in ("left", "right"))
        for key in pair:
            await kinds.define(organisation.owner, kind(key, parents=above), Said())
        above = pair
    await kinds.define(organisation.owner, kind("left-8", parents=above), Said())
    with refused(Invalid) as refusal:
        await kinds.define(organisation.owner, kind("right-8", parents=above), Said())
    assert refusal.value.field == "parents"


FIRST, *REST = FLAG.actions
OPENING = {
    "a lower mark": replace(FLAG, actions=(FIRST, replace(REST[0], mark=Mark.READ), *REST[1:])),
    "an action left out, that could come back lower": replace(FLAG, actions=(FIRST, REST[0])),
    "another place": replace(FLAG, parents=("proj",)),
    "a place more": replace(FLAG, parents=("env", "proj")),
    "no place": replace(FLAG, parents=()),
    "one of them": replace(FLAG, singleton=True),
    "no gate": replace(PROJ, actions=(replace(PROJ.actions[0], gate=False), *PROJ.actions[1:])),
    "a gate left out": replace(PROJ, actions=PROJ.actions[1:]),
}


@pytest.mark.parametrize("opening", OPENING)
async def test_what_lets_others_gain_needs_all_rights_of_an_admin(
    organisation: Organisation, refused: Refused, opening: str
) -> None:
    caller, admin = await keeper(organisation), await organisation.as_role(BuiltInRole.ADMIN)
    with refused(Forbidden) as refusal:
        await kinds.define(caller, OPENING[opening], Said())
    assert dict(refusal.value.extensions) == {
        "code": "FORBIDDEN",
        "action": "updateKind",
        "resource": f"kind/{OPENING[opening].key}",
    }
    assert (await kinds.define(admin, OPENING[opening], Said())).entry


async def test_what_lets_nobody_gain_needs_no_more_than_its_action(organisation: Organisation) -> None:
    caller = await keeper(organisation)
    higher = (replace(FIRST, mark=Mark.MANAGE, gate=True), *REST, KindAction("archive", Mark.WRITE))
    assert (await kinds.define(caller, replace(FLAG, actions=higher, description="new"), Said())).entry
    assert (await kinds.define(caller, kind(), Said())).entry


async def test_a_kind_is_not_removed_to_come_back_lower(organisation: Organisation, refused: Refused) -> None:
    caller = await keeper(organisation)
    with refused(Forbidden) as refusal:
        await kinds.remove(caller, "flag", Said())
    assert refusal.value.extensions["action"] == "deleteKind"
    done = await kinds.remove(organisation.owner, "flag", Said())
    assert done.entry
    assert done.entry.accesses == [{"action": "deleteKind", "resource": "kind/flag"}]
    assert done.entry.after is None


async def test_a_kind_with_others_beneath_stays(organisation: Organisation, refused: Refused) -> None:
    with refused(Conflict) as refusal:
        await kinds.remove(organisation.owner, "proj", Said())
    assert dict(refusal.value.extensions) == {"code": "CONFLICT", "field": "key"}
    assert str(refusal.value) == "other kinds stand beneath it: `env`"


@pytest.mark.parametrize("key", ["", "nothing", "member", "k" * 300, "\ud800"])
async def test_what_is_no_kind_is_not_removed(organisation: Organisation, refused: Refused, key: str) -> None:
    with refused(Invalid) as refusal:
        await kinds.remove(organisation.owner, key, Said())
    assert refusal.value.field == "key"


async def test_a_hidden_kind_and_none_look_alike(organisation: Organisation, refused: Refused) -> None:
    caller = await organisation.as_role(BuiltInRole.NO_ACCESS)
    told = []
    for key in ("flag", "none"):
        with refused(Invalid) as refusal:
            await kinds.remove(caller, key, Said())
        told.append(str(refusal.value).replace(key, "…"))
    assert told[0] == told[1]
    with refused(Forbidden) as forbidden:
        await kinds.define(caller, FLAG, Said())
    with refused(Forbidden) as other:
        await kinds.define(caller, kind("flag2"), Said())
    assert dict(forbidden.value.extensions)["action"] == dict(other.value.extensions)["action"] == "createKind"
