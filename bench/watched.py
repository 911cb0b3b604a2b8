"""What it costs to be watched: forward-auth, and who one is, with metrics, the access log and traces, beside without.

Each is CPU time of the server for a request, as a ratio to that of a server that is not watched.
"""

import argparse
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import paths
from bench.load import alternating, say
from bench.organisation import founded, latchkey

WATCHED = {
    "no": {},
    "metrics": {"LATCHKEY_METRICS_PORT": "0"},
    "access log": {"LATCHKEY_ACCESS_LOG": "true", "LATCHKEY_LOG_FORMAT": "json"},
    "traces": {"LATCHKEY_TRACES": "true"},
}


def main() -> None:
    """Measure, and print a table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=int, default=3, help="of each round (default 3)")
    asked.add_argument("--rounds", type=int, default=3, help="of each path (default 3)")
    options = asked.parse_args()
    targets = {}
    with ExitStack() as stack:
        collector = stack.enter_context(collecting(len))
        for name, variables in WATCHED.items():
            folder = Path(stack.enter_context(TemporaryDirectory()))
            more = {**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
            organisation = paths.peopled(founded(stack.enter_context(latchkey(folder, None, **more))))
            targets[f"forward_auth, {name}"] = paths.forward_auth(organisation)
            targets[f"viewer, {name}"] = paths.viewer(organisation)
        measures = alternating(targets, options.rounds, options.seconds)
    for name, measure in measures.items():
        ratio = measure.cpu_us / measures[f"{name.partition(',')[0]}, no"].cpu_us
        say(f"{name:26} {measure.requests_per_s:9.0f} requests/s {measure.cpu_us:8.1f} us of CPU {ratio:6.2f}")


@contextmanager
def collecting(take: Callable[[bytes], object]) -> Iterator[str]:
    """Take traces as a collector does; gives where."""

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
