"""Accesses of entries, found by globs, by specifiers and by statements of policies, exactly as `core.policy` decides.

What the log names carries neither tags nor properties, so that none is ever known of it.
"""

from collections.abc import Iterator

from tortoise.expressions import Q

from core.errors import Invalid
from core.policy import Effect, Policy, Statement
from core.specifiers import Malformed, Segment, Specifier
from resolvers.conditions import Condition, Glob, Match, every, negated, some

BENEATH = ":*"
"""What ends a specifier that stands for all that lies beneath what comes before it."""
DEEPEST = 6
"""How many steps beneath are looked at."""


def of_action(word: str) -> Condition:
    """Find accesses by an action or a glob of actions."""
    return _matching("action", word)


def of_resource(field: str, text: str) -> Condition:
    """Find accesses by a specifier, or by one that ends in `:*`: by what lies beneath. Raises `Invalid`."""
    beneath = text.endswith(BENEATH)
    try:
        specifier = Specifier.parse(text.removesuffix(BENEATH))
    except Malformed as problem:
        raise Invalid(field, str(problem)) from None
    if not beneath:
        return _specifier(specifier).sure
    if any(segment.filters or segment.attribute for segment in specifier.segments):
        return False
    return some(_path(f"{specifier}{BENEATH * steps}") for steps in range(1, DEEPEST + 1))


def allowed_by(policy: Policy) -> Condition:
    """Find accesses that a policy would allow, gates apart."""
    allows = (_statement(line).sure for line in policy if line.effect is Effect.ALLOW)
    denies = (_statement(line).could for line in policy if line.effect is Effect.DENY)
    return every([some(allows), negated(some(denies))])


def _statement(line: Statement) -> Match:
    named = some(of_action(word) for word in line.actions or line.not_actions or ())
    action = named if line.actions else negated(named)
    listed = [_specifier(each) for each in line.resources or line.not_resources or ()]
    sure, could = some(each.sure for each in listed), some(each.could for each in listed)
    if not line.resources:
        sure, could = negated(could), negated(sure)
    return Match(every([action, sure]), every([action, could]))


def _specifier(specifier: Specifier) -> Match:
    if not specifier.segments:
        return Match(sure=True, could=True)
    could = _path(":".join(_could(specifier)))
    known = not any(segment.filters or segment.attribute for segment in specifier.segments)
    return Match(could if known else False, could)


def _could(specifier: Specifier) -> Iterator[str]:
    for segment in specifier.segments:
        yield str(Segment(segment.kind, "*" if segment.attribute else segment.name))


def _path(glob: str) -> Condition:
    """Match step by step: a `*` takes no colon where the text has no more of them than the glob."""
    matched = _matching("resource", glob)
    if "*" not in glob:
        return matched
    return every([matched, negated(Glob("resource", "*" + BENEATH * (glob.count(":") + 1)))])


def _matching(column: str, glob: str) -> Condition:
    if not glob.strip("*"):
        return True
    return Glob(column, glob) if "*" in glob else Q(**{column: glob})
