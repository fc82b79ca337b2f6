"""Whatever address is configured and whatever answers there, of every channel: only allowed places, no redirect, bounded."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from notifier_scene import Answer, FakeServer, alert

from services.notifier.adapters.slack import SlackApiChannel, SlackWebhookChannel
from services.notifier.adapters.webhook import WebhookChannel
from services.notifier.delivery import BusyError, Channel
from services.notifier.notices import Notice, of_alert
from services.notifier.settings import Settings
from shared.clock import FixedClock
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.settings import load

LOCAL = ("127.0.0.1",)
TIMEOUT = 1.0
Make = Callable[[str, tuple[str, ...]], Channel]

MAKERS: dict[str, Make] = {
    "slack webhook": lambda url, allowed: SlackWebhookChannel(
        f"{url}/hook", least="inform", allowed=allowed, timeout=TIMEOUT
    ),
    "slack api": lambda url, allowed: SlackApiChannel(
        "xoxb-1", "#ops", api_url=f"{url}/api/", least="inform", allowed=allowed, timeout=TIMEOUT
    ),
    "webhook": lambda url, allowed: WebhookChannel(
        f"{url}/in",
        secret=None,
        least="inform",
        allowed=allowed,
        timeout=TIMEOUT,
        clock=FixedClock(datetime(2024, 3, 1, tzinfo=UTC)),
    ),
}
HOSTS = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "127.1",
    "0.0.0.0",  # noqa: S104 - called, not bound
    "169.254.169.254",
    "10.1.2.3",
    "192.168.0.1",
    "100.64.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
]
ANSWERS: dict[str, tuple[Answer, type[Exception]]] = {
    "301": (Answer(301, "", {"Location": "http://127.0.0.1:9/"}), PermanentError),
    "302": (Answer(302, "", {"Location": "http://169.254.169.254/latest/meta-data"}), PermanentError),
    "307": (Answer(307, "", {"Location": "http://localhost/"}), PermanentError),
    "400": (Answer(400, "no"), PermanentError),
    "500": (Answer(500, "later"), TransientError),
    "429": (Answer(429, "", {"Retry-After": "7"}), BusyError),
    "429-with-nonsense": (Answer(429, "", {"Retry-After": "soon"}), BusyError),
    "huge": (Answer(503, "x" * 5_000_000), TransientError),
}


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Make:
    """How to make each channel."""
    return MAKERS[request.param]


def notice() -> Notice:
    found = of_alert(alert())
    assert found is not None
    return found


@pytest.mark.parametrize("host", HOSTS)
async def test_an_address_that_is_not_public_is_refused_before_anything_is_sent(make: Make, host: str) -> None:
    with FakeServer() as server:
        port = server.url.rpartition(":")[2]
        with pytest.raises(PermanentError, match="not public"):
            await make(f"http://{host}:{port}", ()).send(notice(), None)
        assert server.received == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "file:///etc/passwd",
        "http://",
        "//h",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://h:0/",
        "http://h:x/",
    ],
)
def test_an_address_that_means_nothing_or_several_things_is_refused_at_the_start(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_NOTIFIER__WEBHOOK__URL", url)
    with pytest.raises(ConfigurationError, match="HEADRACE_NOTIFIER__WEBHOOK__URL: expected"):
        load(Settings)


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_bad_answer_is_told_from_a_passing_one_and_no_redirect_is_followed(make: Make, name: str) -> None:
    answer, error = ANSWERS[name]
    with FakeServer(answer) as server:
        with pytest.raises(error) as raised:
            await make(server.url, LOCAL).send(notice(), None)
        assert len(server.received) == 1
    assert len(str(raised.value)) < 1000
    if isinstance(raised.value, BusyError):
        assert raised.value.seconds == (7 if name == "429" else 5)


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves differently the second time (rebinding) gains nothing: there is no second time."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host in ("rebinding.test", b"rebinding.test"):
            asked.append("rebinding.test")
            return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, *args, **kwargs)
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with FakeServer(Answer(500, "later")) as server:
        channel = make(server.url.replace("127.0.0.1", "rebinding.test"), ("rebinding.test",))
        with pytest.raises(TransientError):
            await channel.send(notice(), None)
        [received] = server.received
    assert asked == ["rebinding.test"]
    assert received.headers["host"].startswith("rebinding.test:")


@contextmanager
def trickling(head: bytes) -> Iterator[str]:
    """A server that says ``head`` and then a byte now and then, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(head)
                while not done.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                return  # the client has gone, as it should

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        listener.close()
        thread.join(10)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
        b"HTTP/1.1 503 No\r\n\r\n",
    ],
    ids=["silent", "endless", "announced", "error"],
)
async def test_an_answer_that_trickles_is_given_up_in_time(make: Make, head: bytes) -> None:
    with trickling(head) as url:
        began = time.monotonic()
        with pytest.raises(TransientError):
            await make(url, LOCAL).send(notice(), None)
        assert time.monotonic() - began < TIMEOUT + 4
