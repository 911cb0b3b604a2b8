"""Secrets that leaked: whoever holds one may end what it opens, and needs no other credential.

Nothing that restricts how a token is used stands in the way: a secret is looked for as such, and never let in. Whoever
reports learns nothing: what is known and what is not come to the same.
"""

from collections.abc import Sequence
from contextlib import suppress

from core.errors import Invalid
from core.networks import neighbourhood
from core.secret import Digest, ForeignSecret, Malformed, Secret
from core.vocabulary import Action
from models import ActorKind, Link, SecretDigest, Token, TokenKind, now
from resolvers import members, notices, tokens
from resolvers.callers import Caller, Request, with_credential
from resolvers.writing import At, Said, any_row, change

MOST = 100
"""How many secrets are reported at once."""
SAID = Said(comment="reported as leaked")


async def revoke(request: Request, secrets: Sequence[str]) -> None:
    """End what leaked secrets open. Raises `Invalid` for none or more than a hundred, and `RateLimited`.

    A current secret ends its token and all that was made with it, one in its grace itself alone, a session's the
    session, a one-time link's the link. What is over by now, or never was, changes nothing.
    """
    if not 1 <= len(secrets) <= MOST:
        raise Invalid("tokens", f"must be from 1 to {MOST}")
    request.house.leaks.take(neighbourhood(request.address), len(secrets))
    digests = [digest.hex for text in dict.fromkeys(secrets) for digest in _digests(request, text)]
    proofs = SecretDigest.filter(digest__in=digests).select_related("account", "token")
    links = Link.filter(digest__in=digests, expires_at__gt=now()).select_related("account")
    for proof in await proofs.order_by("id"):
        if _lives(proof) and proof.token.dead(now(), proof.account) is None:
            await _end(await with_credential(proof.account, request, ActorKind.POSSESSION), proof)
    for link in await links.order_by("id"):
        caller = await with_credential(link.account, request, ActorKind.POSSESSION)
        await members.end_link(caller, link.member_id, link.id, SAID)


def _digests(request: Request, text: str) -> tuple[Digest, ...]:
    for kind in (Secret, ForeignSecret):
        with suppress(Malformed):
            return request.house.keys.candidates(kind.parse(text))
    return ()


def _lives(proof: SecretDigest) -> bool:
    return proof.expires_at is None or proof.expires_at > now()


async def _end(caller: Caller, proof: SecretDigest) -> None:
    action = Action.REVOKE_SESSION if proof.token.kind is TokenKind.SESSION else Action.DELETE_ACCESS_TOKEN
    async with change(caller, action, At(Token, proof.token_id, any_row), SAID) as deed:
        # As it is now that the token is locked: a reset may have been faster.
        fresh = await SecretDigest.get_or_none(id=proof.id)
        token = deed.row
        if fresh is None or not _lives(fresh) or token.revoked_at is not None:
            return
        token.leaked_at = now()
        news = notices.leaked(token, fresh.id)
        deed.following.append(lambda entry: notices.tell(deed.caller, [(entry, news)]))
        if fresh.expires_at is None:
            await tokens.end(deed, token.leaked_at)
        else:
            await tokens.cut_short(SecretDigest.filter(id=fresh.id))
            deed.note({"oldSecretExpiresAt": fresh.expires_at.isoformat()}, {"oldSecretExpiresAt": None})
            await token.save()
