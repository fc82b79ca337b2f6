"""What supervised services write: into one file each, and line by line to whoever shows them."""

import json
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

_ROTATE_BYTES = 20_000_000
_LONGEST_LINE = 64 * 1024
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
_NAMED_LEVEL = re.compile(r"\b(" + "|".join(_LEVELS) + r")\b", re.IGNORECASE)
_LEVEL_WITHIN = 60  # characters: further right it is a word of the message


@dataclass(frozen=True)
class LogLine:
    """One line of one service; ``level`` as in the logging module."""

    service: str
    text: str
    level: int


Sink = Callable[[LogLine], None]


def level_of(text: str, before: int = logging.INFO) -> int:
    """Return the level that a line names, in JSON or in its beginning; indented lines keep the one ``before``."""
    if text.startswith("{"):
        return _LEVELS.get(str(_as_json(text).get("level", "info")).lower(), logging.INFO)
    if text.startswith("Traceback (most recent call last)"):
        return logging.ERROR
    if text[:1].isspace():
        return before
    named = _NAMED_LEVEL.search(text[:_LEVEL_WITHIN])
    return _LEVELS[named[1].lower()] if named else before


def _as_json(text: str) -> dict[str, object]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def readable(text: str) -> str:
    """Return a structured line as people read it: what happened, then the details; other lines as they are."""
    content = _as_json(text) if text.startswith("{") else {}
    if "event" not in content:
        return text
    happened = content.pop("event")
    level = content.pop("level", "info")
    content.pop("timestamp", None)
    return " ".join([f"{level}:", str(happened), *(f"{name}={value}" for name, value in content.items())])


class ServiceLog:
    """The complete log of one service; starts a new file at 20 MB and keeps one old one."""

    def __init__(self, path: Path) -> None:
        """Continue the file at ``path``; its directory must exist."""
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Append the line; on a full disk it is lost, and the service goes on."""
        with self._lock:
            if self._size > _ROTATE_BYTES:
                self._file.close()
                self._path.replace(self._path.with_suffix(".log.1"))
                self._file = self._path.open("ab", buffering=0)
                self._size = 0
            try:
                self._size += self._file.write(line) or 0
            except OSError:
                return

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Pump(threading.Thread):
    """Carries a service's output to its file and to the sink until the service closes it."""

    def __init__(self, service: str, source: IO[bytes], log: ServiceLog, sink: Sink | None) -> None:
        """``source``: read end of the service's output."""
        super().__init__(name=f"log of {service}", daemon=True)
        self._service = service
        self._source = source
        self._log = log
        self._sink = sink
        self.last = ""
        """The latest line that is not blank: what a service said before it ended."""

    def run(self) -> None:
        """Never stop reading before the end: a full pipe would block the service."""
        level = logging.INFO
        with self._source:
            while line := self._source.readline(_LONGEST_LINE):
                self._log.write(line if line.endswith(b"\n") else line + b"\n")
                text = line.decode(errors="replace").rstrip()
                level = level_of(text, level)
                self.last = text or self.last
                self._show(LogLine(self._service, text, level))

    def _show(self, line: LogLine) -> None:
        if self._sink is None:
            return
        try:
            self._sink(line)
        except Exception:
            self._sink = None


_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)  # ANSI; red is left to errors
_ERROR_COLOUR = 31


def console(stream: TextIO, *, colour: bool, width: int, at_least: int = logging.NOTSET) -> Sink:
    """Return a sink that writes lines of at least a level, each behind its service's name padded to ``width``."""
    lock = threading.Lock()
    colours: dict[str, int] = {}

    def show(line: LogLine) -> None:
        if line.level < at_least:
            return
        with lock:
            own = colours.setdefault(line.service, _COLOURS[len(colours) % len(_COLOURS)])
            name, text = f"{line.service:<{width}} │", readable(line.text)
            if colour:
                name = f"\x1b[{own}m{name}\x1b[0m"
                text = f"\x1b[{_ERROR_COLOUR}m{text}\x1b[0m" if line.level >= logging.ERROR else text
            stream.write(f"{name} {text}\n")
            stream.flush()

    return show


def wants_colour(stream: TextIO, environ: dict[str, str]) -> bool:
    """Whether colours help: a terminal, and the NO_COLOR convention is not used."""
    return stream.isatty() and not environ.get("NO_COLOR")
