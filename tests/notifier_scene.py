"""Alerts to tell people of, and a real HTTP server that plays Slack and webhooks."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from schemas.events.monitoring import Alert, Evidence, WindowBounds
from schemas.events.registry import ChampionPromoted, Fact, RegistryEvent

AT = datetime(2024, 3, 1, tzinfo=UTC)


def alert(state: Any = "firing", *, episode: str = "ep1", fingerprint: str = "fp1", **changes: Any) -> Alert:
    body = Alert(
        fingerprint=fingerprint,
        model="trip-late",
        version=1,
        kind="drift",
        severity="inform",
        state=state,
        episode=episode,
        summary="2 input channels differ from the training data: <!channel> & <@U1>",
        evidence=(Evidence(channel="feature:distance", statistic="psi", value=0.4, threshold=0.1, effect=0.4),),
        window=WindowBounds(start=AT, end=AT.replace(hour=1)),
        started_at=AT,
        updated_at=AT,
    )
    return body.model_copy(update=changes)


def event(fact: Fact | None = None, sequence: int = 1) -> RegistryEvent:
    return RegistryEvent(
        sequence=sequence,
        model="trip-late",
        revision=sequence,
        fact=fact or ChampionPromoted(version=2, digest="ab" * 32, previous=1),
        actor="alex",
        at=AT,
        previous_hash="0" * 64,
        hash="1" * 64,
    )


@dataclass(frozen=True)
class Received:
    """One request the server got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def form(self) -> dict[str, str]:
        """A Web API call's arguments, sent as JSON or as a form."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.json.items()}
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}


@dataclass
class Answer:
    """What the server says: Slack's webhook by default."""

    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)


class FakeServer:
    """Answers with the queued answers, then with ``default``. Started on entry."""

    def __init__(self, *answers: Answer, default: Callable[[Received], Answer] | None = None) -> None:
        self.received: list[Received] = []
        self._answers = list(answers)
        self._default = default or (lambda _: Answer())
        scene = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                got = Received(self.path, headers, self.rfile.read(length))
                scene.received.append(got)
                answer = scene._answers.pop(0) if scene._answers else scene._default(got)
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("content-length", str(len(answer.body.encode())))
                self.end_headers()
                self.wfile.write(answer.body.encode())

            do_GET = do_POST  # noqa: N815 - a followed redirect would come as GET

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer_next(self, *answers: Answer) -> None:
        self._answers += answers

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def slack_api(received: Received) -> Answer:
    """The Web API's good answer."""
    body = {"ok": True, "channel": "C1", "ts": f"171.{len(received.body)}"}
    return Answer(body=json.dumps(body), headers={"content-type": "application/json"})
