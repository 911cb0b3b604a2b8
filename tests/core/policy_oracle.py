"""A second reading of `docs/policy.md`, of the text as written and with nothing of `core`'s but the catalogue."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.catalogue import Catalogue

YES, NO, UNKNOWN = "yes", "no", "unknown"


def allowed(
    policy: Sequence[Mapping[str, Any]],
    action: str,
    resource: str,
    catalogue: Catalogue,
    attributes: Mapping[str, Sequence[str]],
) -> bool:
    """Say whether the policy allows, gates included."""
    asked = [(action, resource)]
    segments = _split(resource)
    for depth, segment in enumerate(segments[:-1], start=1):
        kind = catalogue.kinds[re.split("[/;]", segment)[0]]
        asked += [(gate.key, ":".join(segments[:depth])) for gate in kind.actions if gate.gate]
    return all(_allowed(policy, *each, catalogue, attributes) for each in asked)


def deciding(
    policy: Sequence[Mapping[str, Any]],
    action: str,
    resource: str,
    catalogue: Catalogue,
    attributes: Mapping[str, Sequence[str]],
) -> set[int]:
    """Give the indices of the statements that decide about the action itself, gates left aside."""
    answers = [_statement(statement, action, resource, catalogue, attributes) for statement in policy]
    effects = [statement["effect"] for statement in policy]
    deny = {i for i, answer in enumerate(answers) if effects[i] == "deny" and answer in (YES, UNKNOWN)}
    return deny or {i for i, answer in enumerate(answers) if effects[i] == "allow" and answer == YES}


def specifier(text: str, resource: str, catalogue: Catalogue | None, attributes: Mapping[str, Sequence[str]]) -> str:
    """Say whether a specifier matches. Without a catalogue, everything stated is known."""
    if text == "*":
        return YES
    wanted, given = _split(text), _split(resource)
    if len(wanted) != len(given):
        return NO
    pairs = zip(wanted, given, strict=True)
    return _all(answer for each, other in pairs for answer in _segment(each, other, catalogue, attributes))


def _allowed(policy: Sequence[Mapping[str, Any]], *asked: Any) -> bool:
    by = deciding(policy, *asked)
    return bool(by) and all(policy[index]["effect"] == "allow" for index in by)


def _statement(
    statement: Mapping[str, Any],
    action: str,
    resource: str,
    catalogue: Catalogue,
    attributes: Mapping[str, Sequence[str]],
) -> str:
    if "actions" in statement and not any(_glob(word, action) for word in statement["actions"]):
        return NO
    if "notActions" in statement and any(_glob(word, action) for word in statement["notActions"]):
        return NO
    written = statement.get("resources") or statement["notResources"]
    answers = [specifier(text, resource, catalogue, attributes) for text in written]
    found = YES if YES in answers else UNKNOWN if UNKNOWN in answers else NO
    return found if "resources" in statement else {YES: NO, NO: YES, UNKNOWN: UNKNOWN}[found]


def _segment(
    wanted: str, given: str, catalogue: Catalogue | None, attributes: Mapping[str, Sequence[str]]
) -> Iterable[str]:
    kind, name, filters = _parts(wanted)
    other_kind, other_name, stated = _parts(given)
    yield _yes(kind == other_kind)
    if name is None or other_name is None:
        yield _yes(name == other_name)
    elif attribute := re.fullmatch(r"\$\{roleAttribute/(.+)\}", name):
        values = attributes.get(attribute[1], ())
        yield _yes(other_name in values) if values else UNKNOWN
    else:
        yield _yes(_glob(name, other_name))
    known = catalogue.kinds[other_kind] if catalogue else None
    for each in filters.split(",") if filters else []:
        yield _filter(
            each, stated, taggable=not known or known.taggable, properties=known.properties if known else None
        )


def _filter(wanted: str, stated: str | None, *, taggable: bool, properties: Sequence[str] | None) -> str:
    items = [] if stated is None else stated.split(",")
    if wanted.startswith("{"):
        key, _, _ = wanted[1:].partition(":")
        same = [item for item in items if item.startswith("{" + key + ":")]
        if not same or (properties is not None and key not in properties):
            return UNKNOWN
        return _yes(same == [wanted])
    tags = [item for item in items if not item.startswith("{")]
    if not tags or not taggable:
        return UNKNOWN
    return _yes(any(tag and _glob(wanted, tag) for tag in tags))


def _parts(segment: str) -> tuple[str, str | None, str | None]:
    found = re.fullmatch(r"([^/;]+)(?:/([^;]+))?(?:;(.*))?", segment)
    assert found
    return found[1], found[2], found[3]


def _split(text: str) -> list[str]:
    return re.split(r":(?![^{}]*\})", text)


def _glob(glob: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, glob.split("*"))), text) is not None


def _yes(answer: bool) -> str:
    return YES if answer else NO


def _all(answers: Iterable[str]) -> str:
    found = set(answers)
    return NO if NO in found else UNKNOWN if UNKNOWN in found else YES
