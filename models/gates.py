"""Gates: where a proxy asks whether a request may pass, and how requests become actions on resources."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from tortoise import fields

from core.specifiers import Resource
from models.accounts import Owned


class GateSource(StrEnum):
    """From where a gate takes the request that it judges. All are believed from configured proxies alone."""

    FORWARDED = "FORWARDED"
    """`X-Forwarded-Method`, `-Uri` and `-Host`, as Traefik and Caddy send them."""
    ORIGINAL = "ORIGINAL"
    """`X-Original-Method`, `-URI` (or `-URL`) and `-Host`, as nginx is told to send them."""
    PATH = "PATH"
    """The request itself, with the gate's own path in front, as Envoy sends it."""
    FIXED = "FIXED"
    """None: the proxy's configuration fixes `action` and `resource`, in the query of the gate's URL."""


class Gate(Owned):
    """A gate with its routes, `[{methods, host, pattern, action, resource}]`. Every route that matches must allow."""

    recorded: ClassVar[Mapping[str, str]] = {
        "key": "key",
        "name": "name",
        "description": "description",
        "source": "source",
        "preflights": "preflights",
        "routes": "routes",
    }

    key = fields.CharField(max_length=64)
    name = fields.CharField(max_length=256)
    description = fields.CharField(max_length=1024, default="")
    source = fields.CharEnumField(GateSource, max_length=16)
    preflights = fields.BooleanField(default=False)
    """Whether CORS preflights, which carry no credential, pass."""
    routes: list[dict[str, Any]] = fields.JSONField(default=list)

    class Meta:
        """Keys are unique in their account and lower case by construction."""

        table = "gate"
        unique_together = (("account", "key"),)

    @property
    def resource(self) -> Resource:
        """`gate/<key>`."""
        return Resource.of(("gate", self.key))

    @property
    def label(self) -> str:
        """The gate's name."""
        return self.name
