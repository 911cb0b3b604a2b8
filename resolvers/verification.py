"""What a presented secret opens, as an integration asks about it: its token, whose it is, and what it may do now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from core.errors import Forbidden, Invalid, Unauthenticated
from core.networks import plain_address
from core.receipt import Receipt
from core.vocabulary import Action
from models import Token, now
from resolvers.access import Answer, Authorized, Question, authorize
from resolvers.callers import Caller, Request, bearer, is_bearer, note_deeds, recognised
from resolvers.refusals import Refusal
from resolvers.refusing import refusal_of
from resolvers.uses import Deed


@dataclass(frozen=True, slots=True)
class Verified:
    """A living token of the asker's account, and the answers about it."""

    asker: UUID
    """The token that asked, to which receipts are made out."""
    subject: Caller
    token: Token
    answers: Authorized
    at: datetime

    @property
    def expires_at(self) -> datetime | None:
        """When the secret stops working: at the end of its token, or of its own grace."""
        ends = [
            end
            for end in (self.token.ends_at(self.subject.account), getattr(self.subject.proof, "expires_at", None))
            if end
        ]
        return min(ends, default=None)

    @property
    def cache_until(self) -> datetime | None:
        """Until when the verdict may be kept; None if not at all."""
        lifetime_s = self.subject.account.verdict_lifetime_s
        if not lifetime_s:
            return None
        return min(end for end in (self.at + timedelta(seconds=lifetime_s), self.expires_at) if end)

    @property
    def refusal(self) -> Refusal | None:
        """What the token is refused, if it was presented for one deed. More questions at once are only questions."""
        if len(self.answers.questions) != 1 or self.answers.allows(0):
            return None
        return refusal_of(self.subject, self.answers.deeds)

    def receipt(self, answer: Answer) -> str | None:
        """Give what proves later that this yes was given to the asker; None for a no."""
        if not answer.verdict:
            return None
        asked = (answer.question.action, answer.question.resource)
        at_ms = int(self.at.timestamp() * 1000)
        return Receipt(self.asker.bytes, self.token.id.bytes, *asked, at_ms).text(self.subject.request.house.keys)


def verifying(caller: Caller, *, allowed: bool = True) -> Deed:
    """Say what the asker's token is used for."""
    return caller.deed(Action.VERIFY_ACCESS_TOKEN.value, caller.account.resource, allowed=allowed)


def require_verifier(caller: Caller) -> Token:
    """Give the token that asks, and note that it did. Raises `Forbidden` as `_asking` does."""
    try:
        token = _asking(caller)
    except Forbidden:
        note_deeds(caller, verifying(caller, allowed=False))
        raise
    note_deeds(caller, verifying(caller))
    return token


def _asking(caller: Caller) -> Token:
    """Give the token that asks. Raises `Forbidden` unless it is one, not a session, and may verify."""
    if not caller.sees(Action.VERIFY_ACCESS_TOKEN, caller.account):  # a yes or no, as often as it is asked
        raise Forbidden(Action.VERIFY_ACCESS_TOKEN.value, "acct")
    if caller.token is None or caller.is_session:
        raise Forbidden(Action.VERIFY_ACCESS_TOKEN.value, "acct", why="only a token verifies others, not a session")
    return caller.token


async def verify(
    caller: Caller, secret: str, address: str | None = None, questions: Sequence[Question] = ()
) -> Verified | None:
    """Say what a secret opens; None for whatever opens no token of the caller's account now, whyever.

    `address` is the network address of whoever presented the secret to the caller. Sessions open nothing here. Whoever
    may not verify is refused before anything is looked up. Raises `Forbidden` and `Invalid`, and `RateLimited` where it
    opens a token that was used as often as it may be.
    """
    asker = require_verifier(caller)
    authorize(caller, questions)  # refuses too many before looking
    request = replace(
        caller.request, address=_address(address), user_agent=None, uses=[], standings=[], deprecations=[]
    )
    try:
        subject = await bearer(secret, caller.account.id, request)
    except Unauthenticated:
        return None
    verified = _verified(asker, subject, questions)
    if (refusal := verified.refusal) is not None:
        refusal.note()
    return verified


def recall(
    caller: Caller, secret: str, address: str | None = None, questions: Sequence[Question] = ()
) -> Verified | None:
    """Say what `verify` would, without waiting; None where it would have to ask the database, or has nothing to tell.

    No use is noted, and the subject's request is of the subject's address alone.
    """
    asker = _asking(caller)
    authorize(caller, questions)
    presented_from = _address(address)
    subject = recognised(secret, caller.request.house, presented_from)
    if subject is None or subject.is_counted or not is_bearer(subject, caller.account.id):
        return None
    return _verified(asker, subject.asking(Request(caller.request.house, "", presented_from)), questions)


def _verified(asker: Token, subject: Caller, questions: Sequence[Question]) -> Verified:
    assert subject.token is not None  # noqa: S101 - no others are made of credentials
    return Verified(asker.id, subject, subject.token, authorize(subject, questions), now())


def _address(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(plain_address(text))
    except ValueError:
        raise Invalid("address", "must be an IPv4 or IPv6 address") from None
