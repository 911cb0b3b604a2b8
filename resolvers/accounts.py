"""Accounts: made on the command line, each with its owner and the link that lets them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tortoise.exceptions import IntegrityError

from core import chain, rates
from core.errors import Conflict, Invalid
from core.vocabulary import Action, BuiltInRole
from models import Account, ActorKind, AuditHead, Member, Token, new_id
from resolvers import input as typed
from resolvers.callers import Caller, Request, with_credential
from resolvers.lifetimes import CHUNK, Cut, LifetimesChange, shorten
from resolvers.members import write_link
from resolvers.writing import At, Done, Said, asked_for, change

MAX_VERDICT_LIFETIME_S = 300
MOST_TOKENS = 1_000_000
LIMITS = {"maxTokens": "max_tokens", "maxMemberTokens": "max_member_tokens"}
_CHANGED = ["name", "verdict_lifetime_s", "rate_limits", "lifetimes", *LIMITS.values(), "revokes_reused"]


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What to change of an account; what is None stays as it is. The key is for good."""

    name: str | None = None
    verdict_lifetime_s: int | None = None
    rate_limits: Sequence[str] | None = None
    lifetimes: LifetimesChange | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)
    """By their names, `maxTokens` and `maxMemberTokens`; None takes one away."""
    revokes_reused: bool | None = None


@dataclass(frozen=True, slots=True)
class Updated(Done[Account]):
    """What a change came to, and how many tokens got an end by it."""

    shortened: int = 0


async def create(request: Request, key: str, name: str, owner_email: str) -> Done[Account]:
    """Make an account and invite its owner. The answer's secret is the owner's link, shown once."""
    account = Account(id=new_id(), key=typed.key("key", key), name=typed.name("name", name))
    email, email_key = typed.email("ownerEmail", owner_email)
    owner = Member(account_id=account.id, email=email, email_key=email_key, base_role=BuiltInRole.OWNER)
    head = AuditHead(account_id=account.id, seal=chain.genesis(str(account.id)))
    caller = await with_credential(account, request, ActorKind.COMMAND_LINE)
    async with change(caller, Action.CREATE_ACCOUNT, account, head=head) as deed:
        try:
            await account.save()
        except IntegrityError:  # asking first would not see one that is being made at the same time
            raise Conflict(f"`key` is taken: `{account.key}`", field="key") from None
        await owner.save()
        link = await write_link(deed.caller, owner)
        deed.note({}, {"owner": str(owner.id), "ownerEmail": owner.email})
    return Done(account, deed.entry, link)


async def update(caller: Caller, wanted: AccountChange, said: Said) -> Updated:
    """Change the caller's account. Each field needs its own action.

    Tokens beyond new lifetimes get an end at once, the first of them in the same transaction. Where they are very many,
    others follow in transactions of their own; asking for the same again finishes what was interrupted.
    """
    async with change(caller, _actions(wanted), At(Account, caller.account.id), said) as deed:
        account = deed.row
        _set(account, wanted)
        cut, shortened = None, 0
        if wanted.lifetimes is not None:
            account.lifetimes = wanted.lifetimes.applied(account)
            cut = Cut.of(account.lifetimes, wanted.lifetimes.notice_s)
            shortened = await shorten(deed, cut)
            if shortened:
                left = await cut.among(Token.filter(account_id=account.id), account).count()
                deed.note({}, {"shortenedTokens": shortened + left})
        await account.save(update_fields=_CHANGED)
    if cut is not None and shortened == CHUNK:
        shortened += await _shorten_others(caller, account, cut, said)
    return Updated(deed.row, deed.entry, shortened=shortened)


def _set(account: Account, wanted: AccountChange) -> None:
    if wanted.name is not None:
        account.name = typed.name("name", wanted.name)
    if wanted.verdict_lifetime_s is not None:
        if not 0 <= wanted.verdict_lifetime_s <= MAX_VERDICT_LIFETIME_S:
            raise Invalid("verdictLifetimeS", f"must be from 0 to {MAX_VERDICT_LIFETIME_S} seconds")
        account.verdict_lifetime_s = wanted.verdict_lifetime_s
    if wanted.rate_limits is not None:
        account.rate_limits = [str(rate) for rate in rates.parse(wanted.rate_limits, "rateLimits")]
    for name, most in wanted.limits.items():
        if most is not None and not 0 <= most <= MOST_TOKENS:
            raise Invalid(name, f"must be from 0 to {MOST_TOKENS}")
        setattr(account, LIMITS[name], most)
    if wanted.revokes_reused is not None:
        account.revokes_reused = wanted.revokes_reused


async def _shorten_others(caller: Caller, account: Account, cut: Cut, said: Said) -> int:
    """Give an end to those that did not fit into the transaction of the change, unless the lifetimes change again."""
    action, shortened = Action.UPDATE_TOKEN_LIFETIMES, 0
    while True:
        async with change(caller, action, At(Account, account.id), Said(said.comment)) as deed:
            some = await shorten(deed, cut) if deed.row.lifetimes == account.lifetimes else 0
        shortened += some
        if some < CHUNK:
            return shortened


def _actions(wanted: AccountChange) -> list[Action]:
    return asked_for(
        (Action.UPDATE_ACCOUNT_NAME, wanted.name is not None),
        (Action.UPDATE_VERDICT_LIFETIME, wanted.verdict_lifetime_s is not None),
        (Action.UPDATE_RATE_LIMITS, wanted.rate_limits is not None),
        (Action.UPDATE_TOKEN_LIFETIMES, wanted.lifetimes is not None),
        (Action.UPDATE_TOKEN_LIMITS, bool(wanted.limits)),
        (Action.UPDATE_REUSE_RESPONSE, wanted.revokes_reused is not None),
    )
