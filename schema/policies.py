"""Statements of policies, as they are shown and as they are given."""

from collections.abc import Iterable, Mapping
from typing import Any

import strawberry

from core.law import SideKind
from core.policy import Effect
from core.policy import Statement as Line
from core.vocabulary import Action
from resolvers.access import RoleWords, Shown
from schema import face
from schema.context import Info


@face.output
class Statement:
    """One line of a policy. Of the actions one list is given, and of the resources one."""

    effect: Effect = face.shown("What it does where it matches.")
    actions: list[str] | None = face.shown("The actions it is about; `*` stands for any run of characters.")
    not_actions: list[str] | None = face.shown("It is about every action but these.")
    resources: list[str] | None = face.shown("The resources it is about, such as `proj/web:env/*:flag/*`.")
    not_resources: list[str] | None = face.shown("It is about every resource but these.")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Statement":
        """Show a statement of a policy's JSON form."""
        return cls(
            effect=Effect(raw["effect"]),
            actions=raw.get("actions"),
            not_actions=raw.get("notActions"),
            resources=raw.get("resources"),
            not_resources=raw.get("notResources"),
        )

    @classmethod
    def all_of(cls, lines: Iterable[Line]) -> "list[Statement]":
        """Show the statements of a parsed policy."""
        return [cls.of(line.json()) for line in lines]


@face.input_
class StatementInput:
    """One line of a policy. Give either `actions` or `notActions`, and either `resources` or `notResources`."""

    effect: Effect = face.given("What it does where it matches.")
    actions: list[str] | None = face.given(
        "The actions it is about; `*` stands for any run of characters.", default=None
    )
    not_actions: list[str] | None = face.given("It is about every action but these.", default=None)
    resources: list[str] | None = face.given(
        "The resources it is about, such as `proj/web:env/*:flag/*`. `*` alone is everything.", default=None
    )
    not_resources: list[str] | None = face.given("It is about every resource but these.", default=None)

    @property
    def json(self) -> dict[str, Any]:
        """The statement in LaunchDarkly's public JSON form."""
        lists = {
            "actions": self.actions,
            "notActions": self.not_actions,
            "resources": self.resources,
            "notResources": self.not_resources,
        }
        return {"effect": self.effect.value, **{name: words for name, words in lists.items() if words is not None}}


def named(info: Info, key: str, judged: RoleWords | None) -> str | None:
    """Name a policy; None for a custom role that the viewer may not see. What is not `judged` is no secret to them."""
    return key if judged is None or info.context.caller.sees(Action.VIEW_ROLE, judged) else None


@face.output
class EffectiveRole:
    """A policy that decides, by the name of the role it is of."""

    side: SideKind = face.shown("The side it stands on. Every side must allow; on a side, one policy is enough.")
    key: strawberry.Private[str]
    judged: strawberry.Private[RoleWords | None]
    lines: strawberry.Private[tuple[Line, ...]]

    @face.field()
    def name(self, info: Info) -> str | None:
        """The role's key, or `inline` for statements of a token's own; null for a role you may not see."""
        return named(info, self.key, self.judged)

    @face.field(Action.VIEW_ROLE_POLICY, size=20)
    def statements(self) -> list[Statement] | None:
        """What it says. A custom role's words are only for those who may see its policy."""
        return Statement.all_of(self.lines)

    @classmethod
    def of(cls, shown: Shown) -> "EffectiveRole":
        """Show a policy of a side."""
        return cls(side=shown.side, key=shown.name, judged=shown.judged, lines=shown.policy)
