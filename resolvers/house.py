"""What one running server shares among its requests."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.secret import ServerKeys
from models.database import Database
from resolvers.admission import Admission
from resolvers.attempts import Attempts
from resolvers.bell import Bell
from resolvers.destinations import Destinations
from resolvers.foreign import ForeignSecrets
from resolvers.pace import Pace
from resolvers.rates import Rates
from resolvers.realms import Realms
from resolvers.refusals import Refusals
from resolvers.reuses import Reuses
from resolvers.sending import Mail, Post, nowhere
from resolvers.sinks import Sink
from resolvers.uses import Uses

REPORTS_A_MINUTE = 6_000
"""How many deeds one token reports to the log within a minute, at most."""
LEAKS_A_MINUTE = 1_000
"""How many leaked secrets are reported from one network, as `neighbourhood` has it, within a minute, at most."""


class Looked(NamedTuple):
    """How far something was looked for: until when, while an account had this version."""

    version: int
    until: datetime


@dataclass(slots=True)
class House:
    """One running server: its database, its keys, which alone change while it runs, and its lifetimes."""

    database: Database
    keys: ServerKeys = field(repr=False)
    public_url: str = "http://127.0.0.1:8000"
    session_lifetime_s: int = 12 * 60 * 60
    link_lifetime_s: int = 7 * 24 * 60 * 60
    password_sign_in: bool = True
    """Whether members sign in with a password."""
    admission: Admission = field(default_factory=Admission)
    """Whom the OpenID provider's word lets in, if there is one."""
    heads_every_s: int = 60 * 60
    """How often the head of a log that grows is signed; 0 for never."""
    sink: Sink | None = None
    """Where signed heads go."""
    entry_sinks: Mapping[str, Sink] = field(default_factory=dict)
    """Where the entries of all accounts go, by the names of their feeds."""
    retention_days: int | None = None
    """How long entries are kept; None for ever."""
    disk_floor_bytes: int = 64 << 20
    """With less than this free on the disk of the database's file, refusals are not recorded."""
    attempts: Attempts = field(default_factory=Attempts)
    bell: Bell = field(default_factory=Bell)
    uses: Uses = field(default_factory=Uses)
    realms: Realms = field(default_factory=Realms, repr=False)
    reuses: Reuses = field(default_factory=Reuses)
    refusals: Refusals = field(default_factory=Refusals, repr=False)
    foreign: ForeignSecrets = field(default_factory=ForeignSecrets)
    errand: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when a job was started here."""
    reports: Pace = field(default_factory=lambda: Pace(REPORTS_A_MINUTE))
    leaks: Pace = field(default_factory=lambda: Pace(LEAKS_A_MINUTE))
    rates: Rates = field(default_factory=Rates)
    announced: dict[UUID, Looked] = field(default_factory=dict, repr=False)
    """How far `resolvers.announcing` has looked, by account."""
    destinations: Destinations = field(default_factory=Destinations)
    """Where webhooks may be."""
    post: Post = nowhere
    """Sends what is delivered to webhooks. The command line leaves that to servers."""
    mail: Mail | None = None
    """Sends mails, if the settings say how."""
