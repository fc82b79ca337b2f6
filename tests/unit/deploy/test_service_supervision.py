import io
import logging
import socket

import pytest

from deploy.local import backoff, ports, service, service_logs
from deploy.local.errors import PlatformError
from deploy.local.service_logs import LogLine, console, level_of, readable


def test_waiting_doubles_up_to_the_cap() -> None:
    waits = [backoff.delay(failures, 0.999999) for failures in range(1, 50)]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.25, abs=0.01)
    assert waits[1] == pytest.approx(0.5, abs=0.01)
    assert waits[-1] == pytest.approx(10, abs=0.01)


def test_chance_takes_off_half_of_the_wait_at_most() -> None:
    assert backoff.delay(3, 0.0) == pytest.approx(0.5)
    assert backoff.delay(10_000, 0.0) == pytest.approx(5)


@pytest.mark.parametrize(
    ("code", "was_ready", "final"),
    [(1, False, True), (1, True, False), (2, False, False), (-9, False, False), (0, False, False)],
)
def test_only_a_refused_configuration_ends_the_attempts(code: int, was_ready: bool, final: bool) -> None:  # noqa: FBT001
    assert service.must_not_restart(code, was_ready=was_ready) is final


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"event": "lag", "level": "warning"}', logging.WARNING),
        ('{"event": "an error was met", "level": "info"}', logging.INFO),
        ("2026-11-24 10:00:00 [warning  ] slow", logging.WARNING),
        ("ERROR: no broker", logging.ERROR),
        ("Traceback (most recent call last):", logging.ERROR),
        ("started", logging.INFO),
        ("{not json", logging.INFO),
        ("[1, 2]", logging.INFO),
        ("information about terrors", logging.INFO),
    ],
)
def test_a_line_has_the_level_it_names(text: str, expected: int) -> None:
    assert level_of(text) == expected


def test_the_lines_of_a_traceback_keep_its_level() -> None:
    assert level_of('  File "x.py", line 1', logging.ERROR) == logging.ERROR


def test_structured_lines_are_shown_as_words() -> None:
    text = '{"event": "promoted", "level": "info", "timestamp": "2026", "model": "late"}'
    assert readable(text) == "info: promoted model=late"
    assert readable("plain") == "plain"


def test_the_console_names_the_service_and_leaves_out_lower_levels() -> None:
    stream = io.StringIO()
    show = console(stream, colour=False, width=9, at_least=logging.WARNING)
    show(LogLine("inference", "loaded", logging.INFO))
    show(LogLine("training", "slow", logging.WARNING))
    assert stream.getvalue() == "training  │ slow\n"


def test_colours_appear_only_when_wanted() -> None:
    stream = io.StringIO()
    console(stream, colour=True, width=1)(LogLine("a", "broken", logging.ERROR))
    assert "\x1b[31mbroken" in stream.getvalue()
    assert not service_logs.wants_colour(stream, {})


def test_picked_ports_are_distinct_and_outside_the_ephemeral_range() -> None:
    chosen = ports.pick(20)
    assert len(set(chosen)) == 20
    assert max(chosen) < 32_768


def test_a_demanded_port_in_use_is_refused_with_its_number() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PlatformError, match=f"Port {port} for Kafka is in use"):
            ports.demand(port, "Kafka")
    assert ports.demand(port, "Kafka") == port
