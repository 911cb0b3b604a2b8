"""A real server delivers what it notices, and what it was about to deliver when it was killed."""

import asyncio
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.test_kills import signed_in
from tests.cli.test_server import ask, started, until_ready
from tests.databases import Elsewhere
from tests.web.receiver import receiving

CREATE = 'mutation { createWebhook(input: {url: "%s", events: [LEAKED]}) { secret } }'
MAKE = 'mutation { createToken(input: {name: "t", scope: {builtInRole: READER}}) { secret } }'
DELIVERED = "{ webhooks { nodes { deliveries { nodes { attempts deliveredAt notice { kind } } } } } }"


def leak(url: str, session: str) -> None:
    secret = ask(url, MAKE, session)["data"]["createToken"]["secret"]
    body = json.dumps({"token": secret}).encode()
    reported = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/tokens/revoke-leaked", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(reported).close()  # noqa: S310 - likewise


async def test_what_was_being_delivered_when_the_server_was_killed_is_delivered_by_the_next(tmp_path: Path) -> None:
    async with asyncio.timeout(120), receiving() as receiver:
        receiver.statuses = [0, 200]
        with started(tmp_path, LATCHKEY_WEBHOOK_NETWORKS="127.0.0.0/8") as process:
            url, _ = await asyncio.to_thread(until_ready, process)
            session = await asyncio.to_thread(signed_in, tmp_path, url)
            made = await asyncio.to_thread(ask, url, CREATE % receiver.url, session)
            await asyncio.to_thread(leak, url, session)
            while not receiver.received:  # noqa: ASYNC110 - what the server does
                await asyncio.sleep(0.05)
            process.kill()
        elsewhere = Elsewhere(f"sqlite://{tmp_path}/latchkey.sqlite3")
        elsewhere(f"UPDATE delivery SET next_at = '{datetime.now(UTC) - timedelta(seconds=1)}'")  # noqa: S608 - the lease is over
        with started(tmp_path, LATCHKEY_WEBHOOK_NETWORKS="127.0.0.0/8") as process:
            url, _ = await asyncio.to_thread(until_ready, process)
            delivery: Any = {"deliveredAt": None}
            while not delivery["deliveredAt"]:
                told = await asyncio.to_thread(ask, url, DELIVERED, session)
                (delivery,) = told["data"]["webhooks"]["nodes"][0]["deliveries"]["nodes"]
                await asyncio.sleep(0.05)
    first, second = receiver.received
    assert first.message_id == second.message_id
    secret = made["data"]["createWebhook"]["secret"]
    assert second.verified(secret) == first.verified(secret)
    assert (delivery["attempts"], delivery["notice"]) == (2, {"kind": "LEAKED"})
