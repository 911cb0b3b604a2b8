"""PostgreSQL: it is restarted, crashes, is cut off, falls silent, and is followed by another in mid-transaction."""

import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.effort import tries
from tests.faults import trials
from tests.faults.faces import Answer, answered, post
from tests.faults.figures import POSTGRESQL, Fault, Figures
from tests.faults.load import CREATE, REVOKE, Load, pressed
from tests.faults.postgres import Cluster, clustered
from tests.faults.servers import serving
from tests.faults.trials import LEAVING, Place, standing, tried

URL = "LATCHKEY_DATABASE_URL"
STATE = '{ token(id: "%s") { state } }'


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clustered() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def place(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with standing(tmp_path_factory.mktemp("served") / "data", **{URL: cluster.url}) as place:
        yield place


def caught(cluster: Cluster, place: Place, happen: Callable[[], None]) -> float:
    """Let it happen while a change is in the middle of its transaction for certain: it is refused, and not half done.

    It waits there for the row of its token, which another holds.
    """

    def ask(query: str) -> Answer | None:
        return post(place.server.url, query, place.owner)

    token = answered(partial(ask, CREATE)).body["data"]["createToken"]["token"]["id"]
    row = b64decode(token).decode().partition(":")[2]
    with ThreadPoolExecutor(1) as pool, cluster.locked(f"SELECT 1 FROM token WHERE id = '{row}'") as holder:  # noqa: S608 - its own id
        ending = pool.submit(ask, REVOKE % token)
        cluster.await_waiting_for(holder)
        happen()
        over_s = time.monotonic()
    told = ending.result()
    assert told is not None
    assert told.is_away or (told.status == 200 and "errors" not in told.body), told
    state = answered(partial(ask, STATE % token)).body["data"]["token"]["state"]
    assert state == ("ACTIVE" if told.is_away else "REVOKED")
    return over_s


def restarted(cluster: Cluster, place: Place, _: Load) -> float:
    return caught(cluster, place, partial(cluster.restart, "fast"))


def crashed(cluster: Cluster, place: Place, _: Load) -> float:
    return caught(cluster, place, cluster.crash)


def cut_off(cluster: Cluster, place: Place, load: Load) -> float:
    cluster.wire.cut()
    load.until_refused(3)
    assert not place.server.is_ready()
    cluster.wire.mend()
    return time.monotonic()


def silent(cluster: Cluster, place: Place, load: Load) -> float:
    """Connections stay up, nothing comes through, and what was sent arrives later, when nobody waits any more."""
    cluster.wire.freeze()
    load.until_refused(3)
    assert not place.server.is_ready()
    cluster.wire.mend()
    return time.monotonic()


FAULTS: Mapping[Fault, Callable[[Cluster, Place, Load], float]] = {
    Fault.RESTARTED: restarted,
    Fault.CRASHES: crashed,
    Fault.CUT_OFF: cut_off,
    Fault.SILENT: silent,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_database_that_goes_and_comes_back_has_what_was_acknowledged(
    cluster: Cluster, place: Place, name: Fault
) -> None:
    with pressed([place.server.url], place.owner) as load:
        fault = partial(FAULTS[name], cluster, place, load)
        tried(Figures(name, POSTGRESQL), load, fault, tries(1))
    assert load.hung_up == 0


@pytest.mark.soak
def test_a_server_that_is_killed_has_kept_what_it_acknowledged(place: Place) -> None:
    trials.killed(Figures(Fault.KILLED, POSTGRESQL), place, tries(1))


@pytest.mark.soak
def test_clients_who_leave_cost_nothing(place: Place) -> None:
    trials.left(Figures(Fault.CLIENTS_LEAVE, POSTGRESQL, f"{LEAVING:,}"), place)


@pytest.mark.soak
def test_two_servers_on_a_database_that_fails_over_stay_one(cluster: Cluster, place: Place, tmp_path: Path) -> None:
    """What the lost server acknowledged, the one that takes its place has; until it does, it is not asked."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "latchkey.keys.json").write_bytes(place.server.keys)
    with serving(tmp_path / "other", **{URL: cluster.url}) as other:
        with pressed([place.server.url, other.url], place.owner) as load:

            def fault() -> float:
                cluster.follow()
                load.until_acknowledged(5)
                cluster.fail_over(unready_s=2.0)
                return time.monotonic()

            tried(Figures(Fault.FAILS_OVER, POSTGRESQL), load, fault, tries(1))
        assert load.hung_up == 0


@pytest.mark.soak
def test_two_that_start_at_once_on_an_empty_database_share_it(cluster: Cluster, tmp_path: Path) -> None:
    figures = Figures(Fault.TWO_START, POSTGRESQL)
    for number in range(tries(1)):
        cluster.run(f"CREATE DATABASE empty_{number}")
        url = cluster.url.replace("/latchkey?", f"/empty_{number}?")
        trials.begun_at_once(figures, tmp_path / str(number), **{URL: url})
