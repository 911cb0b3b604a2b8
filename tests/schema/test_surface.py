"""The schema as a whole: fresh, described, nullable at the root, and with what each field needs standing on it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_specified_directive,
    parse,
    validate,
)

from core.vocabulary import Action
from schema import print as printed
from schema import schema
from schema.permissions import Needs, Permission, Public, SignedIn
from tests.walk import ROOT

TYPES = {
    name: type_
    for name, type_ in schema._schema.type_map.items()  # noqa: SLF001 - Strawberry offers no public way to it
    if not name.startswith("__")
}
ROOTS = ("Query", "Mutation", "Subscription")

ISSUED = {
    "Query": "viewer account members member roles role tokens token auditEntries auditEntry auditCounts auditHead "
    "auditKeys catalogue gates gate checkAccess explainAccess whoMay verifyToken configuration tokensBeyond advice "
    "scores notices webhooks webhook jobs job node nodes",
    "Mutation": "updateAccount signIn signOut revokeSession changePassword inviteMember createMemberLink acceptInvite "
    "updateMember assignRoles suspendMember reinstateMember removeMember transferOwnership createRole updateRole "
    "deleteRole createToken updateToken tryTokenScope enforceTokenTrial resetToken revokeToken importTokens "
    "retireLegacyTokens revokeTokens cancelJob "
    "defineResourceKind removeResourceKind defineGate removeGate recordAuditEntries applyConfiguration "
    "createWebhook updateWebhook rotateWebhookSecret deleteWebhook testWebhook",
    "Subscription": "auditEntryRecorded noticeAdded",
}
PUBLIC = {"Mutation.signIn", "Mutation.acceptInvite"}
SIGNED_IN = {
    "Query.viewer",
    "Query.checkAccess",
    "Query.node",
    "Query.nodes",
    "Mutation.signOut",
    "Mutation.changePassword",
}


def fields() -> Iterator[tuple[str, str, GraphQLField]]:
    for name, type_ in TYPES.items():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in type_.fields.items():
                yield name, field_name, field


def permissions_of(type_name: str, field_name: str) -> list[type[Permission]]:
    definition = schema.get_type_by_name(type_name)
    assert definition is not None
    field: Any = next(
        field
        for field in definition.fields  # type: ignore[union-attr]
        if schema.config.name_converter.get_graphql_name(field) == field_name
    )
    permissions: list[type[Permission]] = field.permission_classes
    return permissions


def test_the_printed_schema_is_fresh() -> None:
    assert printed.PATH.read_text(encoding="utf-8") == printed.text()


def test_the_printed_schema_is_valid() -> None:
    assert build_schema(printed.text()).query_type is not None


@pytest.mark.parametrize("root", ROOTS)
def test_everything_issued_is_there_and_nothing_else(root: str) -> None:
    root_type = TYPES[root]
    assert isinstance(root_type, GraphQLObjectType)
    assert set(root_type.fields) == set(ISSUED[root].split())


def test_everything_is_described() -> None:
    bare = [name for name, type_ in TYPES.items() if not type_.description]
    for directive in build_schema(printed.text()).directives:
        if not is_specified_directive(directive):
            bare += [f"@{directive.name}"] * (not directive.description)
            bare += [f"@{directive.name}({key})" for key, given in directive.args.items() if not given.description]
    for name, type_ in TYPES.items():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            bare += [f"{name}.{key}" for key, field in type_.fields.items() if not field.description]
            bare += [
                f"{name}.{key}({argument})"
                for key, field in type_.fields.items()
                for argument, described in field.args.items()
                if not described.description
            ]
        elif isinstance(type_, GraphQLInputObjectType):
            bare += [f"{name}.{key}" for key, given in type_.fields.items() if not given.description]
        elif isinstance(type_, GraphQLEnumType):
            bare += [f"{name}.{key}" for key, value in type_.values.items() if not value.description]
    assert bare == []


def test_every_root_field_is_nullable() -> None:
    assert [f"{t}.{f}" for t, f, field in fields() if t in ROOTS and isinstance(field.type, GraphQLNonNull)] == []


def test_every_guarded_field_is_nullable() -> None:
    guarded = [(t, f, field) for t, f, field in fields() if permissions_of(t, f)]
    assert len(guarded) > 40
    assert [f"{t}.{f}" for t, f, field in guarded if isinstance(field.type, GraphQLNonNull)] == []


def test_every_root_field_has_exactly_one_permission() -> None:
    kinds: dict[type[Permission], set[str]] = {Public: set(), SignedIn: set(), Needs: set()}
    for type_name, field_name, _ in fields():
        if type_name in ROOTS:
            (permission,) = permissions_of(type_name, field_name)
            kinds[Needs if issubclass(permission, Needs) else permission].add(f"{type_name}.{field_name}")
    assert kinds[Public] == PUBLIC
    assert kinds[SignedIn] == SIGNED_IN


def test_what_a_field_needs_stands_in_the_sdl_and_ends_its_description() -> None:
    sdl = build_schema(printed.text())
    for type_name, field_name, field in fields():
        node = sdl.type_map[type_name].fields[field_name].ast_node  # type: ignore[attr-defined]
        shown = {d.name.value: [w for a in d.arguments or () for w in words_of(a.value)] for d in node.directives or ()}
        assert shown.pop("listSize", None) is None or is_list_type(get_nullable_type(field.type))
        ending = (field.description or "").rpartition("\n\n")[2]
        match permissions_of(type_name, field_name):
            case []:
                assert shown == {}
                assert "Needs" not in ending
            case [permission] if issubclass(permission, Needs):
                words = [action.value for action in permission.actions]
                assert shown == {"needs" if len(words) == 1 else "needsOneOf": words}
                assert re.findall(r"`(\w+)`", ending) == words
                assert ending.startswith("Needs ")
            case [permission]:
                assert shown == {"public" if permission is Public else "signedIn": []}
                assert ending == permission.sentence


def words_of(value: object) -> list[str]:
    values = getattr(value, "values", None)
    return [v.value for v in values] if values is not None else [value.value]  # type: ignore[attr-defined]


def test_input_fields_name_the_actions_that_the_mutation_lets_in() -> None:
    sdl = build_schema(printed.text())
    for root_field in ("updateToken", "updateRole", "assignRoles"):
        (permission,) = permissions_of("Mutation", root_field)
        assert issubclass(permission, Needs)
        given = sdl.type_map[root_field[0].upper() + root_field[1:] + "Input"]
        named = {
            argument.value.value
            for field in given.fields.values()  # type: ignore[attr-defined]
            for directive in field.ast_node.directives or ()
            for argument in directive.arguments
        }
        assert named == {action.value for action in permission.actions}


def test_mutations_take_one_input_and_answer_with_a_payload() -> None:
    mutation = TYPES["Mutation"]
    assert isinstance(mutation, GraphQLObjectType)
    for name, field in mutation.fields.items():
        capital = name[0].upper() + name[1:]
        assert get_named_type(field.type).name == f"{capital}Payload"
        taken = {argument: str(given.type) for argument, given in field.args.items()}
        assert taken == ({} if name == "signOut" else {"input": f"{capital}Input!"})


def test_every_change_takes_a_comment_and_what_fits_its_kind() -> None:
    for name, given in TYPES.items():
        if not isinstance(given, GraphQLInputObjectType) or f"{name.removesuffix('Input')}Payload" not in TYPES:
            continue
        if name in {"SignInInput", "AcceptInviteInput"}:
            continue
        assert "comment" in given.fields, name
        creates = name.startswith(("Create", "Invite", "Define", "Record", "Import")) or name == "RevokeTokensInput"
        assert ("idempotencyKey" in given.fields) == creates, name
        if name.startswith(("Update", "Assign", "Suspend", "Reinstate", "Delete", "Remove", "Revoke", "Reset")):
            assert "expectedVersion" in given.fields or name in {"RevokeSessionInput", "RevokeTokensInput"}, name


def test_only_the_actions_of_the_vocabulary_are_needed() -> None:
    words = {action.value for action in Action}
    assert set(re.findall(r'@needs\(action: "(\w+)"\)', printed.text())) <= words


def test_no_column_is_shown_unlisted() -> None:
    listed = {name for _, name, _ in fields()}
    assert not listed & {"passwordHash", "digest", "ceilings", "emailKey", "keyId", "row", "judged"}


@pytest.mark.parametrize("name", ["tokens", "notices", "advice"])
def test_the_documents_in_docs_are_valid(name: str) -> None:
    told = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    documents = re.findall(r"^```graphql\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    assert documents
    for document in documents:
        assert validate(build_schema(printed.text()), parse(document)) == [], document
