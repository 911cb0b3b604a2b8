"""RESULTS.md and its plots, from the figures that were kept; and all ratios, in one line of JSON at the end."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import paths, plots
from bench.load import say
from bench.peers import HERE as PEERS
from bench.quick import RATIOS
from bench.results import HERE, kept

RESULTS = HERE.parent / "RESULTS.md"

GOALS = {
    "viewer_vs_stock": "at least 5",
    "viewer_vs_bare": "at least 0.20",
    "tokens50_vs_stock_list": "at least 1",
    "forward_auth_vs_bare": "at least 0.80",
    "introspect_vs_bare": "at least 0.60",
    "check100_vs_check1": "at least 25, in decisions",
    "verify_vs_jupyterhub": "at least 20",
    "verify_vs_better_auth": "at least 5",
    "verify_vs_knox": "",
    "stale_yes": "all 0",
    "flat_1e3_1e7": "at least 0.7",
    "createtoken_vs_fsync": "at least 0.5",
    "revoking_vs_idle": "at most 2, of the p99",
    "attacked_vs_idle": "at most 2, of the p99",
    "questions_1e4_1e6": "at most 2, the slowest to grow",
}
PARTS = ("machine", "throughput", "making", "growth", "questions", "staleness", "memory", "revoking", "attacks")
Row = Sequence[object]


def main() -> None:
    """Write the report and say the ratios."""
    figures = {part: kept(part) for part in PARTS}
    found = ratios(figures)
    sections = [_heading(found), *_sections(figures)]
    RESULTS.write_text("\n\n".join(section for section in sections if section) + "\n", encoding="utf-8")
    say(json.dumps(found))


def ratios(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Compute every ratio whose parts were measured."""
    found: dict[str, Any] = {}
    speeds = {name: each["busy"]["requests_per_s"] for name, each in (figures["throughput"] or {}).items()}
    for name, (ours, theirs) in RATIOS.items():
        if ours in speeds and theirs in speeds:
            found[name] = (paths.CHECKS if ours == "check100" else 1) * speeds[ours] / speeds[theirs]
    for peer in ("jupyterhub", "better_auth", "knox"):
        best = max((speed for name, speed in speeds.items() if name.startswith(peer)), default=None)
        if best:
            found[f"verify_vs_{peer}"] = speeds["forward_auth"] / best
            found[f"introspect_vs_{peer}"] = speeds["introspect"] / best
    if stale := figures["staleness"]:
        found["stale_yes"] = [count for each in stale.values() for count in each["stale_yes"]]
    for kind, each in (figures["growth"] or {}).items():
        sizes = each["tokens"]
        least, most = min(sizes, key=int), max(sizes, key=int)
        name = f"flat_{float(least):.0e}_{float(most):.0e}".replace("e+0", "e")
        ending = "" if kind == "sqlite" else f"_{kind}"
        found[f"{name}{ending}"] = sizes[most]["requests_per_s"] / sizes[least]["requests_per_s"]
    for kind, each in (figures["questions"] or {}).items():
        ending = "" if kind == "sqlite" else f"_{kind}"
        found[f"questions_1e4_1e6{ending}"] = max(took["1000000"] / took["10000"] for took in each.values())
    if making := (figures["making"] or {}).get("sqlite"):
        speeds = {way: each["requests_per_s"] for way, each in making.items() if way != "fsyncs_per_s"}
        found["createtoken_vs_fsync"] = max(speeds["sequential"], speeds["concurrent"]) / making["fsyncs_per_s"]
        found["bare_vs_fsync"] = speeds["bare"] / making["fsyncs_per_s"]
    found |= _beside_idle(figures)
    return {name: round(ratio, 3) if isinstance(ratio, float) else ratio for name, ratio in found.items()}


def _beside_idle(figures: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    if revoking := figures["revoking"]:
        found["revoking_vs_idle"] = revoking["meanwhile"]["all"]["p99_ms"] / revoking["idle"]["all"]["p99_ms"]
    if attacks := figures["attacks"]:
        found["attacked_vs_idle"] = max(each["meanwhile_p99_ms"] / each["idle_p99_ms"] for each in attacks.values())
    return found


def _heading(found: Mapping[str, Any]) -> str:
    rows = [(f"`{name}`", ratio, GOALS.get(name, "")) for name, ratio in found.items()]
    return f"""# Results

Written by `make bench`; [README.md](README.md) says what is measured and why it is told in ratios. The figures of
each part come from one run on one machine, medians of rounds in which everything took turns. Only ratios mean something
on another.

{_table(("ratio", "measured", "wanted"), rows)}"""


def _sections(figures: Mapping[str, Any]) -> Iterator[str]:
    if machine := figures["machine"]:
        yield f"## The machine\n\n{_table(('', ''), list(machine.items()))}"
    for part, write in (
        ("throughput", _throughput),
        ("making", _making),
        ("growth", _growth),
        ("questions", _questions),
        ("staleness", _staleness),
        ("memory", _memory),
        ("revoking", _revoking),
        ("attacks", _attacks),
    ):
        if figures[part]:
            yield write(figures[part])
    yield _configurations()


def _throughput(figures: Mapping[str, Any]) -> str:
    names = list(figures)
    busy = {name: figures[name]["busy"] for name in names}
    calm = {name: figures[name]["calm"] for name in names}
    speeds = [busy[name]["requests_per_s"] for name in names]
    plots.bars(HERE / "throughput.svg", "Requests a second (logarithmic)", names, {"requests a second": speeds})
    percentiles = {f"p{p}": [calm[name][f"p{p}_ms"] for name in names] for p in (50, 90, 99)}
    title = "Milliseconds to an answer at a fixed load (logarithmic)"
    plots.bars(HERE / "latency.svg", title, names, percentiles, places=2)
    rows = [
        (name, *_told(busy[name], "requests_per_s", "cpu_us"), *_told(calm[name], "p50_ms", "p90_ms", "p99_ms"))
        for name in names
    ]
    return f"""## Paths and peers

Requests a second and the server's CPU time for each with 64 connections; milliseconds to an answer with eight
connections that pause, about a hundred requests a second.

{_table(("", "requests/s", "CPU us", "p50 ms", "p90 ms", "p99 ms"), rows)}

![Requests a second](results/throughput.svg)

![Latency](results/latency.svg)"""


def _making(figures: Mapping[str, Any]) -> str:
    rows = [
        (kind, way, *_told(each, "requests_per_s", "cpu_us", "p50_ms", "p99_ms"))
        for kind, ways in figures.items()
        for way, each in ways.items()
        if way != "fsyncs_per_s"
    ]
    disks = ", ".join(f"{ways['fsyncs_per_s']:,.0f} beside {kind}" for kind, ways in figures.items())
    return f"""## Making tokens, each with its entry in the audit log

The disk made a page durable (`pwrite`, `fdatasync`) so many times a second, in turns with the rest: {disks}.
`sequential` is one connection, `concurrent` sixteen; `accounts_1` and `accounts_8` are eight connections, all of one
account or each of another; `bare` is sqlite3 alone, in one thread, committing five rows of such lengths at a time.

{_table(("", "", "tokens/s", "CPU us", "p50 ms", "p99 ms"), rows)}"""


def _growth(figures: Mapping[str, Any]) -> str:
    parts = []
    for what, unit, title in (
        ("tokens", "tokens", "Tokens verified a second from the database"),
        ("log", "entries", "Tokens made a second"),
    ):
        lines = {
            kind: [(int(size), each["requests_per_s"]) for size, each in grown[what].items()]
            for kind, grown in figures.items()
        }
        plots.lines(
            HERE / f"growth-{what}.svg",
            title,
            {kind: [(_log10(size), rate) for size, rate in points] for kind, points in lines.items()},
            f"{unit} there are",
            x_value_formatter=lambda exponent: f"{10**exponent:,.0f}",
            x_labels=sorted({_log10(size) for points in lines.values() for size, _ in points}),
            range=(0, max(rate for points in lines.values() for _, rate in points) * 1.1),
        )
        rows = [
            (
                kind,
                f"{int(size):,}",
                f"{each['requests_per_s']:,.0f}",
                f"{each['cpu_us']:,.0f}",
                f"{each['p99_ms']:.1f}",
            )
            for kind, grown in figures.items()
            for size, each in grown[what].items()
        ]
        parts.append(
            f"{_table(('', unit, 'requests/s', 'CPU us', 'p99 ms'), rows)}\n\n![{title}](results/growth-{what}.svg)"
        )
    return f"""## Growth

Verifying tokens, each presented once while nothing remembered of it is current, as there are more and more of them:

{parts[0]}

Making tokens one after the other, as the account's log gets longer:

{parts[1]}"""


def _questions(figures: Mapping[str, Any]) -> str:
    rows = [
        (kind, name, *(f"{ms:.1f}" for ms in took.values()), f"{took['1000000'] / took['10000']:.2f}")
        for kind, each in figures.items()
        for name, took in each.items()
    ]
    return f"""## Questions to the log

A page of 50 entries over GraphQL, for each filter, where the log has ten thousand entries and where it has a million:
the median milliseconds. Most filters find one entry in a hundred.

{_table(("", "filter", "10,000: ms", "1,000,000: ms", "ratio"), rows)}"""


def _log10(size: float) -> float:
    return float(len(str(int(size))) - 1)


def _staleness(figures: Mapping[str, Any]) -> str:
    rows = [
        (
            kind,
            each["changes"],
            f"{each['yeses']:,}",
            *each["stale_yes"],
            *(each["there_ms"][name] for name in ("p50", "p99", "max")),
        )
        for kind, each in figures.items()
    ]
    curves = {
        kind: [(late, 100 * (rank + 1) / each["changes"]) for rank, late in enumerate(sorted(each["each_there_ms"]))]
        for kind, each in figures.items()
    }
    title = "Percent of changes after which another server gives no yes any more"
    plots.lines(HERE / "staleness.svg", title, curves, "milliseconds after the change was answered", range=(0, 100))
    return f"""## Staleness

Yes answers to questions asked after the response of a revocation, or of a demotion of the owner, had come back: on the
server that made the change at any time, on another one after a second; and for how long another one went on.

{_table(("", "changes", "yes answers", "stale here", "stale there", "p50 ms", "p99 ms", "max ms"), rows)}

![{title}](results/staleness.svg)"""


def _memory(figures: Mapping[str, Any]) -> str:
    rows = [
        (way, f"{each['empty'] / 2**20:.0f}", f"{each['full'] / 2**20:.0f}", f"{each['each']:,}")
        for way, each in figures.items()
    ]
    each = {"bytes for each": [figure["each"] for figure in figures.values()]}
    plots.bars(HERE / "memory.svg", "Bytes for each remembered credential (logarithmic)", list(figures), each)
    return f"""## Memory

What the server holds with none and with ten thousand credentials remembered, each verified once by a path.

{_table(("", "MiB with none", "MiB with 10,000", "bytes for each"), rows)}

![Bytes for each remembered credential](results/memory.svg)"""


def _revoking(figures: Mapping[str, Any]) -> str:
    ways = {"all": "all of them", "few": "the same few tokens", "once": "each another token"}
    rows = [
        (told, *_told(figures["idle"][way], "p50_ms", "p99_ms"), *_told(figures["meanwhile"][way], "p50_ms", "p99_ms"))
        for way, told in ways.items()
    ]
    return f"""## Revoking many

{figures["tokens"]:,} tokens were revoked in {figures["jobs_s"]:,.0f} s, on SQLite, in {len(figures["rounds"])} jobs
with idle times between them. Proxies asked a hundred times a second meanwhile, every second time about the same few
tokens.

{_table(("", "idle p50 ms", "idle p99 ms", "meanwhile p50 ms", "meanwhile p99 ms"), rows)}"""


def _attacks(figures: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            f"{each['bytes']:,}",
            f"{each['cpu_ms']:.1f}",
            f"{each['idle_p99_ms']:.2f}",
            f"{each['meanwhile_p99_ms']:.2f}",
        )
        for name, each in figures.items()
    ]
    return f"""## Attacks

Requests made to cost as much as they can, all refused or for nothing: the CPU that one takes the server, and the 99th
percentile of an ordinary request, a hundred a second, while one client sends ten of them a second.

{_table(("", "bytes", "CPU ms", "idle p99 ms", "meanwhile p99 ms"), rows)}"""


def _configurations() -> str:
    found = {readme: readme.read_text(encoding="utf-8") for readme in sorted(PEERS.glob("*/README.md"))}
    links = [
        f"- [{text.partition(chr(10))[0].removeprefix('# ')}]({readme.relative_to(RESULTS.parent)})"
        for readme, text in found.items()
    ]
    return "## Configuration\n\nHow the peers are set up, and why so:\n\n" + "\n".join(links)


_WORDS = {"requests_per_s": ",.0f", "cpu_us": ",.0f", "p50_ms": ".2f", "p90_ms": ".2f", "p99_ms": ".2f"}


def _told(measure: Mapping[str, float], *names: str) -> tuple[str, ...]:
    return tuple(format(measure[name], _WORDS[name]) for name in names)


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
