"""Resource kinds that integrations define: the part of the catalogue that is the account's own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tortoise import fields

from core.catalogue import Kind, KindAction, Mark
from core.specifiers import Resource
from models.accounts import Owned


class ResourceKind(Owned):
    """A kind of resource with its actions, `[{key, mark, description, gate}]`."""

    recorded: ClassVar[Mapping[str, str]] = {
        "key": "key",
        "name": "name",
        "description": "description",
        "parents": "parents",
        "properties": "properties",
        "taggable": "taggable",
        "singleton": "singleton",
        "actions": "actions",
    }

    key = fields.CharField(max_length=64)
    name = fields.CharField(max_length=256)
    description = fields.CharField(max_length=1024, default="")
    parents: list[str] = fields.JSONField(default=list)
    properties: list[str] = fields.JSONField(default=list)
    taggable = fields.BooleanField(default=False)
    singleton = fields.BooleanField(default=False)
    actions: list[dict[str, Any]] = fields.JSONField(default=list)

    class Meta:
        """Keys are unique in their account and lower case by construction."""

        table = "resource_kind"
        unique_together = (("account", "key"),)

    @property
    def resource(self) -> Resource:
        """`kind/<key>`."""
        return Resource.of(("kind", self.key))

    @property
    def label(self) -> str:
        """The kind's name."""
        return self.name

    @property
    def kind(self) -> Kind:
        """The kind as the catalogue knows it."""
        actions = tuple(
            KindAction(action["key"], Mark(action["mark"]), action.get("description", ""), action.get("gate", False))
            for action in self.actions
        )
        return Kind(
            self.key,
            actions,
            tuple(self.parents),
            self.name,
            self.description,
            tuple(self.properties),
            taggable=self.taggable,
            singleton=self.singleton,
        )
