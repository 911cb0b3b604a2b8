"""PostgreSQL: it is restarted, crashes, is cut off, falls silent, and is followed by another in mid-transaction."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.effort import tries
from tests.faults import trials
from tests.faults.figures import Figures
from tests.faults.load import Load, pressed
from tests.faults.postgres import Cluster, clustered
from tests.faults.servers import serving
from tests.faults.trials import LEAVING, Place, standing, tried

DATABASE = "PostgreSQL"
URL = "LATCHKEY_DATABASE_URL"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clustered() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def place(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with standing(tmp_path_factory.mktemp("served") / "data", **{URL: cluster.url}) as place:
        yield place


def restarted(cluster: Cluster, _: Place, __: Load) -> None:
    cluster.restart("fast")


def crashed(cluster: Cluster, _: Place, __: Load) -> None:
    cluster.crash()


def cut_off(cluster: Cluster, place: Place, load: Load) -> None:
    cluster.wire.cut()
    load.until_refused(3)
    assert not place.server.is_ready()
    cluster.wire.mend()


def silent(cluster: Cluster, place: Place, load: Load) -> None:
    """Connections stay up, nothing comes through, and what was sent arrives later, when nobody waits any more."""
    cluster.wire.freeze()
    load.until_refused(3)
    assert not place.server.is_ready()
    cluster.wire.mend()


FAULTS: Mapping[str, Callable[[Cluster, Place, Load], None]] = {
    "the database is restarted": restarted,
    "the database crashes": crashed,
    "the database is cut off": cut_off,
    "the database falls silent": silent,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_database_that_goes_and_comes_back_has_what_was_acknowledged(
    cluster: Cluster, place: Place, name: str
) -> None:
    with pressed([place.server.url], place.owner) as load:

        def fault() -> float:
            FAULTS[name](cluster, place, load)
            return time.monotonic()

        tried(Figures(name, DATABASE), load, fault, tries(1))
    assert load.hung_up == 0


@pytest.mark.soak
def test_a_server_that_is_killed_has_kept_what_it_acknowledged(place: Place) -> None:
    trials.killed(Figures("`kill -9`", DATABASE), place, tries(1))


@pytest.mark.soak
def test_clients_who_leave_cost_nothing(place: Place) -> None:
    trials.left(Figures(f"{LEAVING:,} clients leave", DATABASE), place)


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

            tried(Figures("the database fails over", DATABASE), load, fault, tries(1))
        assert load.hung_up == 0


@pytest.mark.soak
def test_two_that_start_at_once_on_an_empty_database_share_it(cluster: Cluster, tmp_path: Path) -> None:
    figures = Figures("two servers start on an empty database", DATABASE)
    for number in range(tries(1)):
        cluster.run(f"CREATE DATABASE empty_{number}")
        url = cluster.url.replace("/latchkey?", f"/empty_{number}?")
        trials.begun_at_once(figures, tmp_path / str(number), **{URL: url})
