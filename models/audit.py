"""The audit log: one sealed chain of entries per account."""

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from core.specifiers import Resource
from models import columns
from models.accounts import Account
from models.row import Json, new_id, plain


class ActorKind(StrEnum):
    """With what a deed was done. A member's token names both the member and the token; `SYSTEM` is Latchkey itself."""

    SESSION = "SESSION"
    PERSONAL = "PERSONAL"
    SERVICE = "SERVICE"
    ACCOUNT = "ACCOUNT"
    PASSWORD = "PASSWORD"  # noqa: S105 - a word, not a password
    LINK = "LINK"
    COMMAND_LINE = "COMMAND_LINE"
    SYSTEM = "SYSTEM"
    POSSESSION = "POSSESSION"
    OIDC = "OIDC"


_FIRST_KINDS = "\n".join(
    f"{kind}: {kind}" for kind in ActorKind if kind not in {ActorKind.SYSTEM, ActorKind.POSSESSION, ActorKind.OIDC}
)
"""What the column's comment in the database lists: for a kind more, no database is asked to alter the table."""


class Outcome(StrEnum):
    """How a deed ended."""

    DONE = "DONE"
    REFUSED = "REFUSED"


CLOCKS_DIFFER = timedelta(seconds=2)
"""How far the clocks of several servers may differ without any being taken for set back."""
_LATER = frozenset(
    {
        "reported_at",
        "behalf_member_id",
        "behalf_member_name",
        "behalf_token_id",
        "behalf_token_name",
        "behalf_token_ending",
        "behalf_verified",
        "set_back",
    }
)
"""The columns of entries that there were not from the beginning."""


class Kept(Model):
    """A row whose columns are read when asked for, so that they can be compared with what the database holds."""

    id = fields.UUIDField(primary_key=True, default=new_id)

    class Meta:
        """Rows are made by their subclasses."""

        abstract = True

    if not TYPE_CHECKING:
        _init_from_db = classmethod(columns.kept)
        __getattr__ = columns.read


class AuditHead(Kept):
    """The end of an account's chain. It is the first row every change locks."""

    account: fields.OneToOneRelation[Account] = fields.OneToOneField(
        "models.Account", related_name="head", on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID
    sequence = fields.BigIntField(default=0)
    seal = fields.CharField(max_length=64)
    latest_at = fields.DatetimeField(null=True)
    """The latest time of any entry so far."""
    clocked_from = fields.BigIntField(default=0, db_default=0)
    """After this entry, each whose clock was set back says so; up to it none does. In logs of this version it is 0."""

    class Meta:
        """One row an account."""

        table = "audit_head"


class AuditEntry(Kept):
    """Who did what, with what, when. Names are kept as they were; the database refuses to change or delete it."""

    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="entries", on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID
    sequence = fields.BigIntField()
    at = fields.DatetimeField()
    request_id = fields.CharField(max_length=64)
    outcome = fields.CharEnumField(Outcome, max_length=16, default=Outcome.DONE)
    actor_kind = fields.CharEnumField(ActorKind, _FIRST_KINDS, max_length=16)
    member_id = fields.UUIDField(null=True)
    member_name = fields.CharField(max_length=320, null=True)
    token_id = fields.UUIDField(null=True)
    token_name = fields.CharField(max_length=256, null=True)
    token_ending = fields.CharField(max_length=4, null=True)
    address = fields.CharField(max_length=64, null=True)
    user_agent = fields.CharField(max_length=256, null=True)
    target_kind = fields.CharField(max_length=64)
    target_id = fields.UUIDField()
    target_resource = fields.CharField(max_length=512)
    target_name = fields.CharField(max_length=320)
    target_member_id = fields.UUIDField(null=True)
    accesses: list[dict[str, str]] = fields.JSONField()
    before: dict[str, Any] | None = fields.JSONField(null=True)
    after: dict[str, Any] | None = fields.JSONField(null=True)
    comment = fields.CharField(max_length=1024, null=True)
    reported_at = fields.DatetimeField(null=True)
    """When an integration says that it happened; `at` is when that was recorded."""
    behalf_member_id = fields.UUIDField(null=True)
    behalf_member_name = fields.CharField(max_length=320, null=True)
    behalf_token_id = fields.UUIDField(null=True)
    behalf_token_name = fields.CharField(max_length=256, null=True)
    behalf_token_ending = fields.CharField(max_length=4, null=True)
    behalf_verified = fields.BooleanField(null=True)
    """Whether the integration proved, by a decision it was given, that the token was presented to it."""
    set_back = fields.BooleanField(null=True)
    """True where the clock stood before the time of an earlier entry, by more than clocks may differ."""
    because: list[dict[str, Any]] = fields.JSONField(default=list)
    idempotency_key = fields.CharField(max_length=128, null=True)
    idempotency_actor = fields.CharField(max_length=64, null=True)
    previous = fields.CharField(max_length=64, unique=True)  # the database itself refuses a forked chain
    seal = fields.CharField(max_length=64, unique=True)

    class Meta:
        """Read by account, newest first, and likewise by each thing that it is asked for."""

        table = "audit_entry"
        unique_together = (("account", "sequence"), ("account", "idempotency_actor", "idempotency_key"))
        indexes = (
            Index(fields=("account_id", "member_id", "sequence")),
            Index(fields=("account_id", "token_id", "sequence")),
            Index(fields=("account_id", "target_id", "sequence")),
            Index(fields=("account_id", "target_member_id", "sequence")),
            Index(fields=("account_id", "behalf_member_id", "sequence")),
            Index(fields=("account_id", "behalf_token_id", "sequence")),
            Index(fields=("account_id", "at", "sequence")),
            Index(fields=("account_id", "request_id", "sequence")),
            Index(fields=("account_id", "token_ending", "sequence")),
            Index(fields=("account_id", "behalf_token_ending", "sequence")),
            Index(fields=("account_id", "address", "sequence")),
            Index(fields=("account_id", "target_kind", "sequence")),
            Index(fields=("account_id", "actor_kind", "sequence")),
            Index(fields=("account_id", "outcome", "sequence")),
        )

    @property
    def subjects(self) -> tuple[Resource, ...]:
        """As what the entry is judged: the account, who acted, who it is about, and on whose behalf it was done."""
        concerned = (self.member_id, self.target_member_id, self.behalf_member_id)
        whom = dict.fromkeys(str(member) for member in concerned if member)
        return (Resource.of(("acct", None)), *(Resource.of(("member", member)) for member in whom))

    def sealed(self) -> dict[str, Json]:
        """Show what the seal covers: every column but the seals themselves, ready for `core.chain`.

        A column that came later is covered where it says something, so that what was sealed before it stays whole.
        """
        shown = {name: plain(getattr(self, name)) for name in sorted(self._meta.db_fields - {"previous", "seal"})}
        return {name: value for name, value in shown.items() if value is not None or name not in _LATER}


class SignedHead(Kept):
    """The end of a chain as it was at a moment, signed; see `core.signed`."""

    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID
    sequence = fields.BigIntField()
    seal = fields.CharField(max_length=64)
    at = fields.DatetimeField()
    key_id = fields.CharField(max_length=64)
    signature = fields.CharField(max_length=128)
    delivered_at = fields.DatetimeField(null=True)
    """When it was handed to the sink outside; None if that is still to be done, or there is none."""

    class Meta:
        """Read by account, latest first; those still to be delivered first."""

        table = "signed_head"
        indexes = (Index(fields=("account_id", "sequence", "at")), Index(fields=("account_id", "delivered_at", "id")))


class AuditStub(Kept):
    """Where an account's log begins once its oldest entries were pruned: the place of the last of them, signed.

    The database deletes no entry beyond it, and moves it forward only.
    """

    account: fields.OneToOneRelation[Account] = fields.OneToOneField(
        "models.Account", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID
    sequence = fields.BigIntField()
    """So many entries were pruned: they count from 1."""
    seal = fields.CharField(max_length=64)
    at = fields.DatetimeField()
    key_id = fields.CharField(max_length=64)
    signature = fields.CharField(max_length=128)

    class Meta:
        """One row an account at most."""

        table = "audit_stub"


class AuditAccess(Kept):
    """One access of an entry, so that entries are found by action and by resource."""

    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID
    entry: fields.ForeignKeyRelation[AuditEntry] = fields.ForeignKeyField(
        "models.AuditEntry", related_name="access_rows", on_delete=fields.OnDelete.RESTRICT
    )
    entry_id: UUID
    sequence = fields.BigIntField()
    action = fields.CharField(max_length=64)
    resource = fields.CharField(max_length=512)

    class Meta:
        """Read by action and by resource, newest first."""

        table = "audit_access"
        indexes = (
            Index(fields=("account_id", "action", "sequence")),
            Index(fields=("account_id", "resource", "sequence")),
            Index(fields=("account_id", "sequence")),
            Index(fields=("entry_id",)),
        )
