"""Random operations, made from the schema itself: whatever is asked, no answer is a fault of the server."""

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    is_leaf_type,
)
from graphql.language.print_string import print_string

from core.vocabulary import BuiltInRole
from models import TokenKind
from resolvers import accounts
from resolvers.accounts import LIMITS, AccountChange
from resolvers.lifetimes import KINDS, LifetimesChange
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema import schema
from tests.effort import tries
from tests.organisation import Organisation
from tests.schema.conftest import Served

CORE: GraphQLSchema = schema._schema  # noqa: SLF001 - Strawberry offers no public way to it
TEXTS = (
    *(
        "",
        " ",
        "*",
        "x",
        "ops",
        "acct",
        "role/ops",
        "member/*:token/*",
        "proj/p;a,{critical:true}",
        "${roleAttribute/x}",
    ),
    *(
        "updateOn",
        "view*",
        "\x00",
        "\ud7ff",
        "é" * 200,
        "é" * 300,
        "a" * 5_000,
        "%",
        "_",
        "' OR 1=1 --",
        "lkp_" + "0" * 36,
        "ﬀ@x.y",
    ),
    *("2030-01-01T00:00:00Z", "2020-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"),
)
NUMBERS = (-(2**31), -1, 0, 1, 2, 3, 100, 101, 2**31 - 1)


@dataclass
class Asker:
    """Writes random operations. `ids` are such as exist; some of them are asked for as what they are not."""

    chance: random.Random
    ids: Sequence[str]

    def operation(self) -> str:
        """Write a query or a mutation of one to three root fields."""
        keyword, root = self.chance.choice([("query", CORE.query_type), ("mutation", CORE.mutation_type)])
        assert root
        names = self.chance.choices(list(root.fields), k=self.chance.randint(1, 3))
        fields = (f"f{i}: {self.field(name, root.fields[name], 3)}" for i, name in enumerate(names))
        return f"{keyword} {{ {' '.join(fields)} }}"

    def field(self, name: str, field: GraphQLField, depth: int) -> str:
        """Write a field with random arguments and what it is asked to show."""
        given = {key: self.value(argument.type, 4) for key, argument in field.args.items() if self.wants(argument)}
        arguments = ", ".join(f"{key}: {value}" for key, value in given.items())
        return f"{name}{f'({arguments})' if arguments else ''} {self.selection(field.type, depth)}"

    def wants(self, argument: Any) -> bool:
        """Say whether an argument or input field is given: those that must be, and half of the others."""
        must = isinstance(argument.type, GraphQLNonNull) and argument.default_value is Undefined
        return must or self.chance.random() < 0.5

    def selection(self, type_: GraphQLOutputType, depth: int) -> str:
        """Write a selection of up to four fields, none where the type is a leaf."""
        named = get_named_type(type_)
        if is_leaf_type(named):
            return ""
        if depth == 0 or not isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            return "{ __typename }"
        names = self.chance.sample(list(named.fields), k=min(len(named.fields), self.chance.randint(1, 4)))
        shown = (f"{named.name.lower()}{depth}{n}: {self.field(n, named.fields[n], depth - 1)}" for n in names)
        return f"{{ {' '.join(shown)} }}"

    def value(self, type_: GraphQLInputType, depth: int) -> str:
        """Write a value of a type, valid as far as the type says."""
        match type_:
            case GraphQLNonNull():
                return self.value(type_.of_type, depth)
            case _ if self.chance.random() < 0.05:
                return "null"
            case GraphQLList():
                count = self.chance.choice([0, 1, 1, 2, 5])
                return f"[{', '.join(self.value(type_.of_type, depth) for _ in range(count))}]"
            case GraphQLEnumType():
                words: list[str] = list(type_.values)
                return self.chance.choice(words)
            case GraphQLInputObjectType():
                return self.given(type_, depth)
            case _:
                return self.leaf(type_)

    def given(self, type_: GraphQLInputObjectType, depth: int) -> str:
        """Write an input object; of a one-of, one field."""
        names = [name for name, field in type_.fields.items() if self.wants(field)]
        if type_.is_one_of:
            names = [self.chance.choice(list(type_.fields))]
        return f"{{{', '.join(f'{name}: {self.value(type_.fields[name].type, depth - 1)}' for name in names)}}}"

    def leaf(self, type_: GraphQLInputType) -> str:
        """Write a scalar."""
        name = get_named_type(type_).name
        if name == "Boolean":
            return self.chance.choice(["true", "false"])
        if name in {"Int", "Float"}:
            return str(self.chance.choice(NUMBERS))
        text = self.chance.choice(self.ids if name == "ID" and self.chance.random() < 0.8 else TEXTS)
        return print_string(text)


UNLIMITED = AccountChange(limits=dict.fromkeys(LIMITS), lifetimes=LifetimesChange(dict.fromkeys(KINDS)))
"""So that there can be tokens, whatever was asked for."""
LISTED = "{ members { nodes { id } } roles { nodes { id } } tokens { nodes { id } } auditEntries { nodes { id } } }"


async def ask_at_random(organisation: Organisation, served: Served, seed: int, count: int) -> Counter[str]:
    """Ask as everybody, and count the codes of what came back; `DATA` for each answer that shows something."""
    role = await organisation.role("ops", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    owner = organisation.owner.member
    assert owner
    ids = [node["id"] for rows in (await served(organisation.owner, LISTED))["data"].values() for node in rows["nodes"]]
    asker = Asker(random.Random(seed), ids)  # noqa: S311 - a seed, so that a failure comes again
    codes: Counter[str] = Counter()
    for number in range(count):
        if number % 20 == 0:  # what was asked may have ended them
            session = await organisation.session(owner)
            await accounts.update(session, UNLIMITED, Said())
            reader = await organisation.as_role(BuiltInRole.READER)
            delegate = await organisation.session(await organisation.member(custom=[role]))
            kinds = (TokenKind.PERSONAL, TokenKind.SERVICE)
            tokens = [await organisation.token(session, Scope(BuiltInRole.ADMIN), kind) for kind in kinds]
        query = asker.operation()
        answer = await served(asker.chance.choice([session, session, reader, delegate, *tokens]), query)
        codes["DATA"] += any((answer.get("data") or {}).values())
        for error in answer.get("errors", ()):
            assert error["extensions"]["code"] not in {"INTERNAL", "GRAPHQL_PARSE_FAILED"}, (error, query)
            codes[error["extensions"]["code"]] += 1
    return codes


@pytest.mark.parametrize("seed", range(tries(1)))
async def test_no_random_operation_is_a_fault_of_the_server(
    seed: int, organisation: Organisation, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    codes = await ask_at_random(organisation, served, seed, 300)
    assert {"BAD_USER_INPUT", "FORBIDDEN", "NOT_FOUND", "DATA"} <= set(codes), codes
    assert codes["DATA"] > 50, codes
    assert not caplog.records


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
async def test_no_random_operation_of_a_long_night_is_either(
    seed: int, organisation: Organisation, served: Served
) -> None:
    assert "BAD_USER_INPUT" in await ask_at_random(organisation, served, seed, 3_000)
