"""Advice in the schema, with mutations that can be sent as they are; and how the account scores, day by day."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, cast

import strawberry
from strawberry.scalars import JSON

from core.vocabulary import Action
from models import Role as RoleRow
from models import Score as ScoreRow
from models import Token as TokenRow
from resolvers import advising, scoring
from resolvers.advice import ORDER, AdviceKind, Evidence, Severity
from resolvers.advice import Advice as Item
from resolvers.advising import AdviceFilter
from resolvers.amends import Step
from resolvers.pages import Window
from schema import face, nodes
from schema.connections import After, Before, Connection, First, Last
from schema.context import Info
from schema.members import Member
from schema.policies import Statement
from schema.roles import Role
from schema.tokens import (
    ACCESSES_SIZE,
    ORIGINS_SIZE,
    ExceedingStatement,
    Token,
    TokenAccess,
    TokenFilterInput,
    TokenOrigin,
)

SIZE = 5
"""How long the lists of evidence are taken to be."""
_SHOWN = {
    "createToken": "secret token { id name expiresAt }",
    "updateToken": "token { id version expiresAt }",
    "revokeToken": "token { id state }",
    "deleteRole": "deletedRoleId",
}
"""What the ready mutations ask to be shown."""


@face.output
class AdviceEvidence:
    """What advice goes by; what it does not is null or empty."""

    evidence: strawberry.Private[Evidence]
    since: datetime | None = face.shown("From when on uses counted.")

    @face.field(size=ACCESSES_SIZE)
    def uses(self) -> list[TokenAccess]:
        """What the token was used for since then."""
        return [TokenAccess.of(row) for row in self.evidence.accesses]

    @face.field(size=ORIGINS_SIZE)
    def origins(self) -> list[TokenOrigin]:
        """From where it was used since then."""
        return [TokenOrigin.of(row) for row in self.evidence.origins]

    @face.field(size=SIZE)
    def programs(self) -> list[str]:
        """The programs that used it, by the first word of what they call themselves, most uses first."""
        return list(self.evidence.programs)

    @face.field(size=SIZE)
    def networks(self) -> list[str]:
        """The networks from which it was used, most uses first: a /24 of IPv4 counts as one, and a /48 of IPv6."""
        return list(self.evidence.networks)

    @face.field(size=SIZE)
    def unused_actions(self) -> list[str]:
        """The actions that its scope allows somewhere and the suggested one nowhere."""
        return list(self.evidence.unused)

    @face.field(size=SIZE)
    def suggested_statements(self) -> list[Statement] | None:
        """The scope that is suggested: it allows all that was used of the present one, and no more than that one."""
        return None if self.evidence.policy is None else Statement.all_of(self.evidence.policy)

    @face.field(size=SIZE)
    def exceeding(self) -> list[ExceedingStatement]:
        """The statements of its scope that reach beyond its owner's rights of now."""
        return [ExceedingStatement.of(exceeding) for exceeding in self.evidence.exceeding]


@face.output
class Advice:
    """What would bring the account nearer to least privilege, why, and a mutation that does it."""

    item: strawberry.Private[Item]
    kind: AdviceKind = face.shown("What it is about.")
    severity: Severity = face.shown("How much it matters.")
    reason: str = face.shown("Why, in a sentence or two.")

    @face.field()
    def evidence(self) -> AdviceEvidence:
        """What it goes by."""
        return AdviceEvidence(evidence=self.item.evidence, since=self.item.evidence.since)

    @face.field()
    def token(self) -> Token | None:
        """The token it is about, if it is about one."""
        return Token.of(self.item.about) if isinstance(self.item.about, TokenRow) else None

    @face.field()
    def role(self) -> Role | None:
        """The custom role it is about, if it is about one."""
        return Role.of(self.item.about) if isinstance(self.item.about, RoleRow) else None

    @face.field()
    async def member(self, info: Info) -> Member | None:
        """Who would see to it, if you see them: the token's owner, or who answers for it."""
        about = self.item.about
        whom = (about.owner_id or about.responsible_id) if isinstance(about, TokenRow) else None
        found: Member | None = await nodes.beside(info, "Member", whom)
        return found

    @face.field()
    def mutation(self) -> str | None:
        """A document that does it, to be sent with `variables` as they are; null if no change was proven to help.

        Whoever sends it needs the actions of its mutations.
        """
        return _document(self.item.steps) if self.item.steps else None

    @face.field()
    def variables(self) -> JSON | None:
        """The variables of `mutation`."""
        given = {f"input{number}": step.input for number, step in enumerate(self.item.steps, start=1)}
        return cast("JSON", given) if given else None

    @classmethod
    def of(cls, item: Item) -> "Advice":
        """Show a piece of advice."""
        return cls(item=item, kind=item.kind, severity=item.severity, reason=item.reason)


def _document(steps: Sequence[Step]) -> str:
    declared, fields = [], []
    for number, step in enumerate(steps, start=1):
        type_ = f"{step.mutation[0].upper()}{step.mutation[1:]}Input!"
        declared.append(f"$input{number}: {type_}")
        fields.append(f"  step{number}: {step.mutation}(input: $input{number}) {{ {_SHOWN[step.mutation]} }}")
    return "\n".join([f"mutation Advised({', '.join(declared)}) {{", *fields, "}"])


@face.output
class AdviceCount:
    """How many living tokens there is advice of a kind about."""

    kind: AdviceKind = face.shown("The kind.")
    count: int = face.shown("How many tokens.")


@face.output
class Score:
    """How near the account is to least privilege: 100 where nothing counts against it. See docs/advice.md."""

    day: date = face.shown("The day, in UTC.")
    score: int = face.shown("From 0 to 100.")
    tokens: int = face.shown("How many living tokens there were.")
    sound: int = face.shown("How many of them nothing counts against: neither advice nor `broad`.")
    broad: int = face.shown("How many had all of the account for a scope: the built-in `admin` or `owner`.")
    advice: list[AdviceCount] = face.shown("How many there was advice about, of each kind that counts.", size=SIZE)

    @classmethod
    def of(cls, row: ScoreRow) -> "Score":
        """Show a score."""
        counts = {kind: row.counts[kind] for kind in ORDER if kind in row.counts}
        return cls(
            day=row.day,
            score=row.score,
            tokens=row.counts[scoring.TOKENS],
            sound=row.counts[scoring.SOUND],
            broad=row.counts[scoring.BROAD],
            advice=[AdviceCount(kind=kind, count=count) for kind, count in counts.items()],
        )


@strawberry.type
class AdviceQueries:
    """Asking for advice."""

    @face.field((Action.VIEW_ADVICE, Action.VIEW_ACCESS_TOKEN_USE))
    async def advice(
        self,
        info: Info,
        kinds: Annotated[
            list[AdviceKind] | None, strawberry.argument(description="Of which kinds; of all, unless said.")
        ] = None,
        tokens: Annotated[
            TokenFilterInput | None, strawberry.argument(description="On which tokens; then there is none on roles.")
        ] = None,
        days: Annotated[
            int,
            strawberry.argument(
                description=f"For how many days rights may go unused, 1 to {advising.MAX_DAYS}; younger tokens are "
                "not said to have too many."
            ),
        ] = 30,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Advice] | None:
        """List advice on tokens of which you see how they are used: with `viewAdvice` on everybody's, else on your own.

        The most urgent kind comes first, and in each the newest token. Not counted. What takes proofs is proven for
        the page alone, and only so much at once: a page may be short, or empty, although more follows.
        """
        window = Window.of(advising.BY_URGENCY, first, after, last, before)
        wanted = AdviceFilter(ORDER if kinds is None else kinds, tokens.wanted() if tokens else None, days)
        page = await advising.advice(info.context.caller, wanted, window)
        return Connection(page=page, show=Advice.of, counted=_uncounted, reached=page.reached)

    @face.field(Action.VIEW_ADVICE, size=scoring.DAYS)
    async def scores(
        self,
        info: Info,
        days: Annotated[
            int, strawberry.argument(description=f"Of how many days, up to {scoring.MAX_DAYS}; today is one.")
        ] = scoring.DAYS,
    ) -> list[Score] | None:
        """How the account scores, today's score first, as it is now; a day on which Latchkey did not run has none."""
        return [Score.of(row) for row in await scoring.scores(info.context.caller, days)]


async def _uncounted() -> None:
    """Count nothing: that would take proving everything."""
