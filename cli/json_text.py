"""JSON as operators write it: what readers take for different things is refused."""

import json
from collections.abc import Sequence


class Twice(ValueError):
    """An object has a field twice: of two with one name most readers silently take the last."""

    def __init__(self, name: str) -> None:
        super().__init__("has an object with a field twice")
        self.name = name


def parsed(text: str) -> object:
    """Read JSON. Raises `Twice`, a JSONDecodeError that knows the place, or another ValueError that does not."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("is nested too deep") from None


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in pairs:
        if name in made:
            raise Twice(name)
        made[name] = value
    return made
