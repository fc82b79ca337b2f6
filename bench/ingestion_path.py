"""A batch of NDJSON at the edge without sockets and Kafka: ``python -m bench.ingestion_path [--features 12 200] [--flame FILE.svg]``.

The service's own ASGI application, from a request's body to the body of its answer: lines, strict JSON (repeated keys
included), features, envelope, metrics, answers. The broker is a list that takes everything.
"""

import argparse
import asyncio
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import sampling
from bench.inference_path.scene import TRACE, Stream
from bench.timing import machine, measure
from bench.validation_path import definition_record
from services.ingestion.admission import Admission
from services.ingestion.app import count_answer
from services.ingestion.definitions import Definitions
from services.ingestion.edge import Edge
from services.ingestion.in_flight import InFlight
from services.ingestion.routes import routes
from services.ingestion.settings import IngestionSettings
from shared.clock import SystemClock
from shared.garbage_collection import calm_collector
from shared.health import Health
from shared.records import Outgoing

BATCH = 2000
HEADERS = [(b"content-type", b"application/x-ndjson"), (b"traceparent", TRACE.encode())]


class _Place(NamedTuple):
    topic: str
    partition: int
    offset: int


async def _publish(*outgoing: Outgoing) -> Sequence[_Place]:
    return [_Place(item.topic.name, 0, offset) for offset, item in enumerate(outgoing)]


class Request:
    """The body of a batch, lines as producers send them: structured CloudEvents, or plain events."""

    def __init__(self, stream: Stream, *, structured: bool) -> None:
        definitions = Definitions()
        definitions.apply(definition_record(stream))
        settings, health = IngestionSettings(), Health()
        edge = Edge(settings, definitions=definitions, publish=_publish, clock=SystemClock(), count=count_answer)
        in_flight = InFlight(limit_bytes=settings.in_flight_bytes, limit_requests=settings.in_flight_requests)
        self._application = routes(edge=edge, admission=Admission(settings, in_flight=in_flight, health=health))
        lines = [
            msgspec.json.encode(_structured(n, event) if structured else event) for n, event in enumerate(stream.sent())
        ]
        self._body = b"\n".join(lines)
        if self.answer().count(b'"status":202') != stream.count:
            message = "the benchmark's own events must be accepted"
            raise RuntimeError(message)

    def answer(self) -> bytes:
        """The body of the answer."""
        return asyncio.run(self._answer())

    async def _answer(self) -> bytes:
        scope = {"type": "http", "method": "POST", "path": "/v1/events:batch", "query_string": b"", "headers": HEADERS}
        body: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": self._body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            body.append(message.get("body", b""))

        await self._application(scope, receive, send)
        return b"".join(body)


def _structured(number: int, event: dict[str, object]) -> dict[str, object]:
    return {
        "specversion": "1.0", "id": f"departure-{number:08d}", "source": "airport/LGA", "type": "headrace.event.v1",
        "time": event["occurred_at"], "data": event,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingestion_path", description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[12, 200])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--flame", type=Path)
    options = parser.parse_args()
    asyncio.run(calm_collector())
    print(f"{machine()}; batches of {BATCH}; median [best–worst] of {options.rounds}\n")
    print("| features | lines | µs per event | events/s, one core |\n|---|---|---|---|")
    for width in options.features:
        for structured in (True, False):
            request = Request(Stream(width, BATCH), structured=structured)
            found = measure(request.answer, BATCH, rounds=options.rounds)
            print(f"| {width} | {'CloudEvents' if structured else 'plain'} | {found} | {found.per_second:,.0f} |")
    if options.flame:
        request = Request(Stream(options.features[0], BATCH), structured=True)
        stacks = sampling.sample(request.answer)
        options.flame.write_text(sampling.flame_graph(stacks, f"ingestion, {options.features[0]} features"))
        print("\n".join(f"{share:6.1%}  {line}" for share, line in sampling.hottest(stacks, 40)))


if __name__ == "__main__":
    main()
