"""Logs for people and machines."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.logs import configure, get_logger
from shared.settings import LogSettings, PlatformSettings


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_the_console_shows_one_readable_line_per_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure(PlatformSettings(), "validation")
    get_logger("x").info("partitions open", partitions=[0, 1])
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "INFO" in line
    assert "validation" in line
    assert "partitions open" in line
    assert "partitions=[0, 1]" in line


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(PlatformSettings(log=LogSettings(format="json")), "validation")
    get_logger("x").warning("slow", seconds=3)
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["level"], event["service"], event["seconds"]) == ("slow", "warning", "validation", 3)


def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure(PlatformSettings(), "validation")
    get_logger("x").debug("detail")
    logging.getLogger("aiokafka").info("chatter")
    logging.getLogger("aiokafka.consumer.group_coordinator").error("Heartbeat failed because it is rebalancing")
    assert capsys.readouterr().err == ""


def test_a_librarys_warning_reads_like_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure(PlatformSettings(), "validation")
    logging.getLogger("aiokafka").warning("broker %s is gone", 3)
    line = capsys.readouterr().err
    assert "WARNING" in line
    assert "broker 3 is gone" in line


def test_an_unexpected_error_brings_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure(PlatformSettings(), "validation")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        get_logger("x").exception("it broke")
    text = capsys.readouterr().err
    assert "it broke" in text
    assert "ZeroDivisionError" in text
