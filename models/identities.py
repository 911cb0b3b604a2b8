"""Identities: who members are at the OpenID provider through which they sign in."""

from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.accounts import Owned
from models.members import Member


class Identity(Owned):
    """Who a member is at an OpenID provider: the id that it knows them by, which it never gives to anybody else.

    That of a member who was removed stays, so that they do not come back by themselves.
    """

    member: fields.ForeignKeyRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name=False, on_delete=fields.OnDelete.CASCADE
    )
    member_id: UUID
    issuer = fields.CharField(max_length=512)
    subject = fields.CharField(max_length=255)

    class Meta:
        """One of a provider's for each member. Who signs in says no account, so it is looked for in all of them."""

        table = "identity"
        unique_together = (("account", "issuer", "subject"), ("account", "member", "issuer"))
        indexes = (Index(fields=("issuer", "subject")), Index(fields=("member_id",)))
