"""What all callers of an account share at one version of it: read once, and remembered by the house."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tortoise.expressions import Subquery

from core.catalogue import Catalogue
from core.vocabulary import OWN_KINDS, BuiltInRole
from models import Account, Member, MemberRole, ResourceKind, Role
from resolvers.statements import Found, Statement, found

MEMORY_SIZE = 1_000
"""How many accounts' realms a process keeps, the latest of each."""
MEMBERS_KEPT = 10_000
"""Of how many members a realm keeps the custom roles."""


@dataclass(frozen=True, slots=True)
class Realm:
    """An account at one of its versions, with its catalogue and the id of its owner, None while it is being made."""

    account: Account
    catalogue: Catalogue
    owner_id: str | None
    read_as: Found = field(default=(), repr=False)
    """What the catalogue and the owner were read from."""
    _held: dict[UUID, list[Role]] = field(default_factory=dict, repr=False)

    async def roles_of(self, member: Member) -> list[Role]:
        """Give a member's custom roles, in the order of their keys."""
        roles = self._held.get(member.id)
        if roles is None:
            roles = await roles_of_member(member)
            if len(self._held) < MEMBERS_KEPT:
                self._held[member.id] = roles
        return roles


class Realms:
    """The realms that a house remembers. Whoever uses one has just read the account's version, and compares it."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, Realm] = OrderedDict()

    def find(self, account: Account) -> Realm | None:
        """Find the realm of an account as it was read; None if it is not remembered at this version."""
        realm = self._known.get(account.id)
        return realm if realm and realm.account.version == account.version else None

    def keep(self, realm: Realm) -> None:
        """Remember a realm, of which it was seen that nothing changed while it was read."""
        self._known[realm.account.id] = realm
        self._known.move_to_end(realm.account.id)
        if len(self._known) > MEMORY_SIZE:
            self._known.popitem(last=False)

    async def read(self, account: Account) -> Realm:
        """Read a realm from the database alone. A catalogue that says what the last one said is the same object.

        Nor is it made again where the database says the same: most of what happens changes no catalogue.
        """
        owners = Member.filter(account_id=account.id, base_role=BuiltInRole.OWNER)
        kinds = ResourceKind.filter(account_id=account.id).order_by("key")
        statement = Statement.of(kinds.annotate(owner=Subquery(owners.values("id"))))
        rows, last = await found(statement.sql, statement.values), self._known.get(account.id)
        owner_id = str(rows[0]["owner"]) if rows and rows[0]["owner"] else await owner_of(account.id)
        if last and last.read_as == rows:
            return Realm(account, last.catalogue, owner_id, last.read_as)
        catalogue = _catalogue(statement.rows(rows))
        return Realm(account, last.catalogue if last and last.catalogue == catalogue else catalogue, owner_id, rows)


def _catalogue(rows: Sequence[ResourceKind]) -> Catalogue:
    return Catalogue.of((*OWN_KINDS, *(row.kind for row in rows)))


async def catalogue_of(account: Account) -> Catalogue:
    """Read the account's catalogue: Latchkey's own kinds and the integrations'."""
    return _catalogue(await ResourceKind.filter(account_id=account.id).order_by("key"))


async def owner_of(account_id: UUID) -> str | None:
    """Find the id of the account's owner; None only while the account is being made."""
    owner = await Member.get_or_none(account_id=account_id, base_role=BuiltInRole.OWNER).only("id")
    return str(owner.id) if owner else None


async def roles_of_member(member: Member) -> list[Role]:
    """Read a member's custom roles, in the order of their keys."""
    held = await MemberRole.filter(account_id=member.account_id, member_id=member.id).select_related("role")
    return sorted((row.role for row in held), key=lambda role: role.key)
