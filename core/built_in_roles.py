"""What the built-in roles allow, as policies over a catalogue: plain allows, one statement for each path of kinds."""

from collections.abc import Callable, Iterator

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.policy import Effect, Policy, Statement
from core.specifiers import Resource, Segment, Specifier
from core.vocabulary import ON_ONESELF, OWNER_ONLY, BuiltInRole

Grant = Callable[[Kind, KindAction], bool]


def _reads(kind: Kind, action: KindAction) -> bool:  # noqa: ARG001 - one signature for all grants
    return action.mark is Mark.READ


def _writes(kind: Kind, action: KindAction) -> bool:
    return action.mark is Mark.READ or (action.mark is Mark.WRITE and not kind.own)


def _manages(kind: Kind, action: KindAction) -> bool:
    return (kind.key, action.key) not in OWNER_ONLY


def _owns(kind: Kind, action: KindAction) -> bool:  # noqa: ARG001 - one signature for all grants
    return True


_GRANTS: dict[BuiltInRole, Grant] = {
    BuiltInRole.READER: _reads,
    BuiltInRole.WRITER: _writes,
    BuiltInRole.ADMIN: _manages,
    BuiltInRole.OWNER: _owns,
}


def built_in_policy(role: BuiltInRole, catalogue: Catalogue, self_id: str | None) -> Policy:
    """Give the policy of a built-in role held by the member `self_id`; by no member, nothing on oneself is allowed.

    Raises `specifiers.Malformed` for an id that no member can have.
    """
    return (*everywhere(role, catalogue), *on_oneself(role, catalogue, self_id))


def everywhere(role: BuiltInRole, catalogue: Catalogue) -> Policy:
    """Give the part of it that is the same for whoever holds the role."""
    return () if role is BuiltInRole.NO_ACCESS else tuple(_statements(catalogue, _GRANTS[role]))


def _statements(catalogue: Catalogue, grants: Grant) -> Iterator[Statement]:
    for path in catalogue.paths:
        kinds = [catalogue.kinds[key] for key in path]
        actions = tuple(action.key for action in kinds[-1].actions if grants(kinds[-1], action))
        if actions:
            every = Specifier(tuple(Segment(kind.key, None if kind.singleton else "*") for kind in kinds))
            yield Statement(Effect.ALLOW, actions=actions, resources=(every,))


def on_oneself(role: BuiltInRole, catalogue: Catalogue, self_id: str | None) -> Policy:
    """Give the part that comes behind it, on whoever holds the role."""
    if role is BuiltInRole.NO_ACCESS or self_id is None:
        return ()
    # By way of a resource, which is concrete: an id that were a glob would reach other members.
    oneself = Specifier.parse(str(Resource.of(("member", self_id))))
    own_tokens = Specifier((*oneself.segments, Segment("token", "*")))
    token_actions = tuple(action.key for action in catalogue.kinds["token"].actions)
    return (
        Statement(Effect.ALLOW, actions=tuple(action.value for action in ON_ONESELF), resources=(oneself,)),
        Statement(Effect.ALLOW, actions=token_actions, resources=(own_tokens,)),
    )
