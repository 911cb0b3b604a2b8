"""How the database stands, in a few numbers: what waits in it to be done, and the connections to it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tortoise.connection import get_connections

from models.engines.transactions import Client
from models.jobs import Job, JobState
from models.notices import Channel, Delivery
from models.row import now


@dataclass(frozen=True, slots=True)
class Standing:
    """All accounts together."""

    migration: str
    """The last one that was applied."""
    connections: Mapping[str, int]
    """By what they are: `open`, and on a server those of them that are `idle`."""
    due: Mapping[str, int]
    """How many deliveries are due, by channel."""
    due_for_s: Mapping[str, float]
    """For how long the oldest of them is."""
    left: Mapping[str, int]
    """How many entries are still to be delivered, by place: `file`, `syslog`, or `webhook` for all of those."""
    failing: Mapping[str, int]
    """How many feeds failed the last time."""
    jobs: int
    """How many are under way."""


_FEEDS = """
    SELECT CASE WHEN feed.webhook_id IS NULL THEN feed.place ELSE 'webhook' END AS kind,
        SUM(audit_head.sequence - feed.sequence) AS entries, COUNT(NULLIF(feed.failures, 0)) AS failing
    FROM feed
    JOIN audit_head ON audit_head.account_id = feed.account_id
    LEFT JOIN webhook ON webhook.id = feed.webhook_id
    WHERE webhook.disabled_at IS NULL
    GROUP BY 1
"""
"""Tortoise has no word for a sum of differences between two tables."""
_MIGRATION = "SELECT MAX(name) AS name FROM tortoise_migrations WHERE app = 'models'"


async def standing() -> Standing:
    """Look."""
    client = get_connections().get("default")
    assert isinstance(client, Client)  # noqa: S101 - there are no others outside a transaction
    [migrated] = await client.execute_query_dict(_MIGRATION)
    feeds = await client.execute_query_dict(_FEEDS)
    due, due_for_s, at = dict[str, int](), dict[str, float](), now()
    for channel in Channel:
        waiting, kind = Delivery.filter(channel=channel, next_at__lte=at), channel.value.lower()
        first = await waiting.order_by("next_at").first()
        due[kind] = 0 if first is None else await waiting.count()
        due_for_s[kind] = 0.0 if first is None or first.next_at is None else (at - first.next_at).total_seconds()
    return Standing(
        migrated["name"],
        client.connections,
        due,
        due_for_s,
        {row["kind"]: int(row["entries"]) for row in feeds},
        {row["kind"]: int(row["failing"]) for row in feeds},
        await Job.filter(state=JobState.RUNNING).count(),
    )
