"""Bringing account-wide tokens over, in the schema."""

from datetime import datetime
from typing import Any

import strawberry

from core.errors import Invalid
from core.vocabulary import Action
from resolvers import imports
from resolvers.imports import Draft, Import
from schema import face, nodes
from schema.audit import AuditEntry
from schema.context import Info
from schema.policies import EffectiveRole
from schema.said import said
from schema.tokens import NETWORKS, RATE_LIMITS, ScopeInput, Token

MOST = 100
"""How many tokens one mutation brings over."""
_UNSAID = "Asked with a restricted token, null is as that one; never wider than that."


@face.input_
class TokenImportInput:
    """An account-wide token to bring over. Give `secret`, or `sha256` where the secret itself is not at hand."""

    name: str = face.given("What people call it. Up to 256 characters.")
    secret: str | None = face.given(
        "Its secret, of whatever shape but Latchkey's own: up to 4,096 printable characters. Give it as a variable.",
        default=None,
    )
    sha256: str | None = face.given("The SHA-256 of its secret, in 64 lower-case hex digits.", default=None)
    ending: str | None = face.given(
        "With `sha256`: up to 4 last characters of the secret, to recognise it by.", default=None
    )
    description: str = face.given("What it is for. Up to 1,024 characters.", default="")
    scope: ScopeInput | None = face.given(
        "What it is for, in policies. Left out, it may do all that you may now.", default=None
    )
    expires_at: datetime | None = face.given("When it ends; never, unless said.", default=None)
    networks: list[str] | None = face.given(f"{NETWORKS} {_UNSAID}", default=None)
    rate_limits: list[str] | None = face.given(f"{RATE_LIMITS} {_UNSAID}", default=None)
    responsible_id: strawberry.ID | None = face.given(
        "The id of the active member who answers for it: you, unless said.", default=None
    )

    def wanted(self, place: int) -> Import:
        """Read what is wanted. Raises `Invalid` naming the field."""
        field = f"tokens[{place}].responsibleId"
        responsible = self.responsible_id
        return Import(
            name=self.name,
            secret=self.secret,
            sha256=self.sha256,
            ending=self.ending,
            description=self.description,
            scope=self.scope.wanted() if self.scope else None,
            expires_at=self.expires_at,
            networks=self.networks,
            rate_limits=self.rate_limits,
            responsible_id=nodes.uuid_of(field, responsible, "Member") if responsible is not None else None,
        )


@face.input_
class ImportTokensInput:
    """Account-wide tokens to bring over, all of them or none."""

    tokens: list[TokenImportInput] = face.given("The tokens, up to 100.")
    dry_run: bool = face.given(
        "Whether only to check them and show what they would be. Nothing changes.", default=False
    )
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()

    def wanted(self) -> list[Import]:
        """Read what is wanted. Raises `Invalid` naming the field."""
        if not 1 <= len(self.tokens) <= MOST:
            raise Invalid("tokens", f"must be from 1 to {MOST}")
        return [each.wanted(place) for place, each in enumerate(self.tokens)]


@face.output
class ImportedToken:
    """What a token is, or would be, once it is brought over: whoever holds its secret may do this."""

    draft: strawberry.Private[Draft]
    name: str = face.shown("What people call it.")
    ending: str = face.shown("The last characters of its secret; empty where they are not known, or it is short.")
    expires_at: datetime | None = face.shown("When it ends; null if never.")
    networks: list[str] = face.shown("From where it may be used; from anywhere if there are none.")
    rate_limits: list[str] = face.shown("How often it may be used.")

    @face.field(size=20)
    def effective_scope(self) -> list[EffectiveRole]:
        """The policies that decide what it may do. Every side must allow; on a side, one policy is enough."""
        return [EffectiveRole.of(shown) for shown in self.draft.effective.shown]

    @classmethod
    def of(cls, draft: Draft) -> "ImportedToken":
        """Show a token that was, or would be, brought over."""
        row = draft.row
        return cls(
            draft=draft,
            name=row.name,
            ending=row.ending,
            expires_at=row.expires_at,
            networks=row.networks,
            rate_limits=row.rate_limits,
        )


@face.output
class ImportTokensPayload:
    """What was brought over, in the order in which it was given."""

    preview: list[ImportedToken] = face.shown("What each token is, or in a dry run would be.", size=MOST)
    tokens: list[Token] = face.shown("The tokens; none in a dry run.", size=MOST)
    audit_entries: list[AuditEntry] = face.shown("What the log says of them, as far as you may see it.", size=MOST)


@strawberry.type
class ImportMutations:
    """Bringing account-wide tokens over."""

    @face.mutation(Action.IMPORT_ACCESS_TOKEN)
    async def import_tokens(self, info: Info, input: ImportTokensInput) -> ImportTokensPayload | None:
        """Bring account-wide tokens over, with the secrets that they have. Each is deprecated from now on.

        It takes all rights of an admin. A token may never do more than you may now, and from then on only less.
        """
        done = await imports.bring(info.context.caller, input.wanted(), said(input), dry_run=input.dry_run)
        entries: list[Any] = [AuditEntry.seen(info.context, entry) for entry in done.entries]
        return ImportTokensPayload(
            preview=[ImportedToken.of(draft) for draft in done.drafts],
            tokens=[] if input.dry_run else [Token.of(draft.row) for draft in done.drafts],
            audit_entries=[entry for entry in entries if entry is not None],
        )
