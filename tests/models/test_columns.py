"""Columns that are read when asked for say what Tortoise would have read at once."""

import pytest
from tortoise.exceptions import IncompleteInstanceError
from tortoise.models import Model

from models import Account, AuditEntry, Gate, GateSource, Member, ResourceKind, Role, Token
from resolvers import gates
from resolvers.gates import NewGate
from resolvers.writing import Said
from tests.organisation import Organisation

ANYTHING = {"effect": "allow", "actions": ["*"], "resources": ["*"]}


async def test_every_column_is_what_tortoise_reads(organisation: Organisation) -> None:
    role = await organisation.role("ci", ANYTHING)
    await organisation.made(await organisation.session(await organisation.member(custom=(role,), attributes={"a": []})))
    await gates.define(organisation.owner, NewGate("api", "API", GateSource.PATH), Said())
    for model in (Account, AuditEntry, Gate, Member, ResourceKind, Role, Token):
        rows = await model.all()
        assert rows
        for row in rows:
            whole = Model._init_from_db.__func__(model, **row.__dict__["_columns"])  # type: ignore[attr-defined]  # noqa: SLF001 - the stock way
            names = model._meta.db_fields  # noqa: SLF001 - where Tortoise keeps them
            assert {name: getattr(row, name) for name in names} == {name: whole.__dict__[name] for name in names}
            assert {type(getattr(row, name)) for name in names} == {type(whole.__dict__[name]) for name in names}


async def test_a_row_that_lacks_columns_is_not_saved_whole(organisation: Organisation) -> None:
    row = await Role.create(account_id=organisation.account.id, key="ci", name="CI")
    part = await Role.filter(id=row.id).only("id", "name").get()
    assert (part.id, part.name) == (row.id, "CI")
    with pytest.raises(AttributeError):
        _ = part.policy
    with pytest.raises(IncompleteInstanceError):
        await part.save()


async def test_what_is_changed_is_what_is_saved(organisation: Organisation) -> None:
    made = await Role.create(account_id=organisation.account.id, key="ci", name="CI", policy=[ANYTHING])
    row = await Role.get(id=made.id)
    row.policy.append(ANYTHING)
    row.name = "New"
    await row.save()
    again = await Role.get(id=made.id)
    assert (again.name, again.policy, again.key) == ("New", [ANYTHING, ANYTHING], "ci")
    await row.refresh_from_db()
    assert (row.name, row.created_at) == ("New", made.created_at)
