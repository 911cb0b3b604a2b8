"""The GraphQL face of Latchkey. `schema.graphql` beside this is what it comes to; `make schema` writes it."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema import answering, face, permissions
from schema import words as _words  # noqa: F401 - describes the enums before anything uses them
from schema.access import AccessQueries
from schema.accounts import AccountMutations, AccountQueries
from schema.advice import AdviceQueries
from schema.audit import AuditQueries, AuditSubscriptions
from schema.configuration import ConfigurationMutations, ConfigurationQueries
from schema.explaining import ExplainingQueries
from schema.gates import GateMutations, GateQueries
from schema.imports import ImportMutations
from schema.jobs import JobMutations, JobQueries
from schema.kinds import KindMutations, KindQueries
from schema.members import MemberMutations, MemberQueries
from schema.nodes import NodeQueries
from schema.notices import NoticeQueries, NoticeSubscriptions
from schema.reports import ReportMutations
from schema.retirement import RetirementMutations
from schema.roles import RoleMutations, RoleQueries
from schema.sessions import Session, SessionMutations
from schema.tokens import TokenMutations, TokenQueries
from schema.verification import VerificationQueries
from schema.viewer import ViewerQueries
from schema.webhooks import WebhookMutations, WebhookQueries


@face.output
class Query(
    ViewerQueries,
    AccountQueries,
    MemberQueries,
    RoleQueries,
    TokenQueries,
    AdviceQueries,
    JobQueries,
    AuditQueries,
    NoticeQueries,
    WebhookQueries,
    KindQueries,
    GateQueries,
    ConfigurationQueries,
    AccessQueries,
    ExplainingQueries,
    VerificationQueries,
    NodeQueries,
):
    """What can be asked. Every field is nullable, so that one refusal spoils no other answer."""


@face.output
class Mutation(
    AccountMutations,
    SessionMutations,
    MemberMutations,
    RoleMutations,
    TokenMutations,
    ImportMutations,
    RetirementMutations,
    JobMutations,
    KindMutations,
    GateMutations,
    WebhookMutations,
    ReportMutations,
    ConfigurationMutations,
):
    """What can be changed. Each is done wholly or not at all, and recorded in the audit log."""


@face.output
class Subscription(AuditSubscriptions, NoticeSubscriptions):
    """What can be followed."""


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Session],
    execution_context_class=answering.Executor,
    config=StrawberryConfig(auto_camel_case=True),
)
answering.shorten(schema)
permissions.described(schema)
