"""What hangs on the server's keys: secrets that are found by one, one-time links, and what webhooks are signed with."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import Q
from tortoise.functions import Count
from tortoise.queryset import QuerySet

from core.secret import ServerKeys
from core.signed import Kind
from models import ActorKind, Link, SecretDigest, SignedHead, Token, TokenKind, Webhook, now
from resolvers import sessions, tokens, webhooks
from resolvers.callers import Request, with_credential
from resolvers.heads import statement
from resolvers.signatures import PublicKeys
from resolvers.writing import Said


@dataclass(slots=True)
class Held:
    """How much hangs on a key: all of it ends with the key."""

    tokens: int = 0
    sessions: int = 0
    links: int = 0
    webhooks: int = 0

    def __bool__(self) -> bool:
        return bool(self.tokens or self.links or self.webhooks)  # sessions end by themselves before long


async def held() -> dict[str, Held]:
    """Count what hangs on each key, in all accounts."""
    found = defaultdict[str, Held](Held)
    for key_id, kind, count in await _counted(_secrets(), "key_id", "token__kind"):
        if kind == TokenKind.SESSION:
            found[key_id].sessions += count
        else:
            found[key_id].tokens += count
    for key_id, count in await _counted(Link.filter(expires_at__gt=now()), "key_id"):
        found[key_id].links += count
    for key_id, count in await _counted(Webhook.all(), "key_id"):
        found[key_id].webhooks += count
    for webhook, key_id in await webhooks.passing():
        if key_id != webhook.key_id:
            found[key_id].webhooks += 1
    return dict(found)


async def _counted(rows: QuerySet[Any], *columns: str) -> list[Any]:
    counted = rows.annotate(count_=Count("id")).group_by(*columns)
    return list(await counted.values_list(*columns, "count_"))


def _secrets() -> QuerySet[SecretDigest]:
    """Find the secrets that open something, or will once its owner is active again."""
    at = now()
    lasts = Q(expires_at=None) | Q(expires_at__gt=at)
    lives = Q(token__revoked_at=None) & (Q(token__expires_at=None) | Q(token__expires_at__gt=at))
    return SecretDigest.filter(lasts & lives)


async def hanging(key_id: str) -> list[Token]:
    """List the tokens that hang on a key, with their accounts."""
    secrets = _secrets().filter(key_id=key_id).exclude(token__kind=TokenKind.SESSION)
    found = await secrets.order_by("account_id", "token_id").select_related("token", "token__account")
    return list({secret.token_id: secret.token for secret in found}.values())


async def revoke(request: Request, key_id: str, said: Said) -> int:
    """Revoke the tokens that hang on a key, each with an entry of its own; says how many."""
    ending = await hanging(key_id)
    for token in ending:
        caller = await with_credential(token.account, request, ActorKind.COMMAND_LINE)
        await tokens.revoke(caller, token.id, said)
    return len(ending)


async def end(request: Request, key_id: str, said: Said) -> None:
    """End what is still kept under a key that was retired, so that what is remembered of it, and follows, ends too."""
    for secret in await _secrets().filter(key_id=key_id).order_by("id").select_related("account", "token"):
        caller = await with_credential(secret.account, request, ActorKind.COMMAND_LINE)
        if secret.token.kind is TokenKind.SESSION:
            await sessions.revoke(caller, secret.token_id, said)
        else:
            await tokens.end_secret(caller, secret.token_id, secret.id, said)


async def misfits(keys: ServerKeys) -> list[str]:
    """Name the keys without which something does not work: not among these, or another one of the same id."""
    public, wrong = PublicKeys.of(keys), {key_id for key_id in await held() if key_id not in keys.keys}
    for key_id in keys.keys:
        head = await SignedHead.filter(key_id=key_id).order_by("-id").first()
        if head is not None and statement(Kind.HEAD, head).is_signed(public.signed) is False:
            wrong.add(key_id)
    return sorted(wrong)
