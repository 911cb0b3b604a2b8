"""Configuration as code in the schema: an account's kinds, roles and gates as one document."""

from enum import StrEnum
from typing import cast

import strawberry
from strawberry.scalars import JSON

from core.vocabulary import Action
from models import Member as MemberRow
from models import Token as TokenRow
from resolvers import configuration
from resolvers.configuration import Applied, Difference
from resolvers.gainers import Gainer
from schema import face
from schema.audit import Access, AuditEntry
from schema.context import Context, Info
from schema.members import Member
from schema.said import said
from schema.tokens import Token

_CHANGING = (
    Action.CREATE_KIND,
    Action.UPDATE_KIND,
    Action.CREATE_ROLE,
    Action.UPDATE_NAME,
    Action.UPDATE_DESCRIPTION,
    Action.UPDATE_POLICY,
    Action.UPDATE_BASE_PERMISSIONS,
    Action.CREATE_GATE,
    Action.UPDATE_GATE,
)


@face.choice(
    CREATE="It is made.",
    UPDATE="What is there is changed.",
    SAME="What is there says the same already.",
)
class ConfigurationStep(StrEnum):
    """What applying a document does with an item."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    SAME = "SAME"


@face.output
class ConfigurationField:
    """A field of an item that differs."""

    name: str = face.shown("Its name in the document.")
    before: JSON | None = face.shown("What it was; null for what is new, and for what you may not see.")
    after: JSON | None = face.shown("What the document says.")


@face.output
class ConfigurationDifference:
    """An item of the document, held against what there was."""

    section: str = face.shown("The section it stands in, such as `roles`.")
    key: str = face.shown("Its key.")
    step: ConfigurationStep = face.shown("What is done with it.")
    fields: list[ConfigurationField] = face.shown("What differs, field by field; all fields of what is new.")

    @classmethod
    def of(cls, difference: Difference) -> "ConfigurationDifference":
        """Show a difference."""
        return cls(
            section=difference.section,
            key=difference.key,
            step=ConfigurationStep(difference.step.value),
            fields=[
                ConfigurationField(
                    name=change.name,
                    before=cast("JSON | None", change.before),
                    after=cast("JSON | None", change.after),
                )
                for change in difference.fields
            ],
        )


@face.output
class ConfigurationGain:
    """Somebody who may be able to do more. What cannot be proven to give nothing counts."""

    member: Member | None = face.shown("The member; null for a token.")
    token: Token | None = face.shown("The token, which no member owns; null for a member.")
    gains: list[Access] | None = face.shown(
        "What they may gain; null without `viewAccess` on them, and if it is too much to work out."
    )

    @classmethod
    def of(cls, gainer: Gainer) -> "ConfigurationGain":
        """Show somebody who may gain."""
        row, gains = gainer.row, gainer.gains
        return cls(
            member=Member.of(row) if isinstance(row, MemberRow) else None,
            token=Token.of(row) if isinstance(row, TokenRow) else None,
            gains=None if gains is None else [Access(action=action, resource=resource) for action, resource in gains],
        )


@face.input_
class ApplyConfigurationInput:
    """A document to apply."""

    document: JSON = face.given(
        "The document, as `configuration` gives it: up to 500 items and 1 MiB. What is in it is made or replaced, what "
        "is not in it stays."
    )
    dry_run: bool = face.given("Whether only to say what it would come to, and change nothing.", default=False)
    comment: str | None = face.comment()


@face.output
class ApplyConfigurationPayload:
    """What the document came to."""

    differences: list[ConfigurationDifference] = face.shown("Every item of the document, by section and key.", size=100)
    may_gain: list[ConfigurationGain] | None = face.shown(
        "Members, and living tokens that no member owns, who may be able to do more: up to 100 that you see. Null "
        "where you change a role whose policy you may not see.",
        size=100,
    )
    may_gain_others: int | None = face.shown("How many others may; null where `mayGain` is.")
    audit_entries: list[AuditEntry] = face.shown(
        "What the log says of it, one entry a change, as far as you see them.", size=100
    )
    dry_run: bool = face.shown("Whether nothing was changed.")

    @classmethod
    def of(cls, context: Context, applied: Applied) -> "ApplyConfigurationPayload":
        """Show what was done."""
        gainers = applied.gainers
        seen = (AuditEntry.seen(context, entry) for entry in applied.entries)
        return cls(
            differences=[ConfigurationDifference.of(difference) for difference in applied.differences],
            may_gain=[ConfigurationGain.of(gainer) for gainer in gainers.shown] if gainers else None,
            may_gain_others=gainers.others if gainers else None,
            audit_entries=[entry for entry in seen if entry],
            dry_run=applied.dry_run,
        )


@strawberry.type
class ConfigurationQueries:
    """Reading the configuration."""

    @face.field(Action.VIEW_KIND)
    async def configuration(self, info: Info) -> JSON | None:
        """Write down the resource kinds, roles and gates that you may see as one document, for `applyConfiguration`.

        A role is in it if you may see its policy.
        """
        return cast("JSON", await configuration.export(info.context.caller))


@strawberry.type
class ConfigurationMutations:
    """Applying a configuration."""

    @face.mutation(_CHANGING)
    async def apply_configuration(self, info: Info, input: ApplyConfigurationInput) -> ApplyConfigurationPayload | None:
        """Make the account's resource kinds, roles and gates what a document says: all of it, or nothing.

        Each item takes what its own mutation takes. Every problem is told at once, up to 20, in `problems`.
        """
        applied = await configuration.apply(info.context.caller, input.document, said(input), dry_run=input.dry_run)
        return ApplyConfigurationPayload.of(info.context, applied)
