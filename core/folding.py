"""Many specifiers made few: names give way to `*` from the right, so that what is left still means all there was."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from core.specifiers import pieces

EVERYTHING = "*"
W = TypeVar("W", bound=Hashable)


@lru_cache(maxsize=4096)
def wider(specifier: str) -> tuple[str, ...]:
    """Give the specifiers that stand for ever more, the narrowest first: one for each segment.

    `proj/web;a:flag/f` gives `proj/web;a:flag/*` and `proj/*:flag/*`. What a segment carries goes with its name.
    """
    if specifier == EVERYTHING:
        return ()
    segments = pieces(specifier)
    folded = [_folded(segment) for segment in segments]
    return tuple([":".join((*segments[:at], *folded[at:])) for at in reversed(range(len(segments)))])


def _folded(segment: str) -> str:
    kind, named, _ = segment.partition("/")
    return f"{kind}/*" if named else kind.partition(";")[0]


def standing(specifier: str, known: Collection[str]) -> str | None:
    """Find what stands for a specifier among those that are known: itself, or one that was made of its like."""
    if specifier in known:
        return specifier
    for each in wider(specifier):  # asked for every resource of every request, where `next` costs twice as much
        if each in known:
            return each
    return None


def fitting(specifier: str, longest: int) -> str:
    """Give the narrowest specifier that stands for one and has at most so many bytes."""
    return next(each for each in (specifier, *wider(specifier), EVERYTHING) if len(each.encode()) <= longest)


def fold(specifiers: Iterable[str], most: int) -> dict[str, str]:
    """Say which specifier stands for each, so that there are at most `most`, one at least.

    Where there are more, those that differ in their last name alone become one, the largest such group first; then
    those that differ in the last two, and so on, until at last `*` stands for all.
    """
    given = dict.fromkeys(specifiers)
    stands = {each: next((rung for rung in reversed(wider(each)) if rung in given), each) for each in given}
    count = len(set(stands.values()))
    for step in range(max((len(wider(each)) for each in stands), default=0)):
        groups: dict[str, set[str]] = defaultdict(set)
        for each in set(stands.values()):
            rungs = wider(each)
            groups[rungs[min(step, len(rungs) - 1)] if rungs else each].add(each)
        for wide, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
            if count <= most or len(group) == 1:
                break
            count -= len(group) - 1
            stands = {each: wide if stood in group else stood for each, stood in stands.items()}
    return stands if count <= most else dict.fromkeys(stands, EVERYTHING)


def fold_each(specifiers: Mapping[W, Collection[str]], most_each: int, most: int) -> dict[W, dict[str, str]]:
    """Fold the specifiers of each of several words, and then those of the words that have most, until all are few."""
    folded = {word: fold(each, most_each) for word, each in specifiers.items()}
    sizes = {word: len(set(stands.values())) for word, stands in folded.items()}
    while sum(sizes.values()) > most:
        word = max(sizes, key=sizes.__getitem__)
        if sizes[word] == 1:
            break
        folded[word] = fold(specifiers[word], sizes[word] // 2)
        sizes[word] = len(set(folded[word].values()))
    return folded
