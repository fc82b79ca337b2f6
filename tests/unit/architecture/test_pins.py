"""Whoever installs headrace gets what was tested: every package has one exact version, and it is written down."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
EXACT = re.compile(r"([A-Za-z0-9._-]+)(\[[a-z]+\])?==([^;]+)")


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _written() -> Iterator[str]:
    """Every requirement that pyproject.toml writes down, headrace's own extras aside."""
    yield from PROJECT["build-system"]["requires"]
    yield from PROJECT["project"]["dependencies"]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        yield from (each for each in extra if not each.startswith("headrace["))
    yield from (each for each in PROJECT["dependency-groups"]["dev"] if not each.startswith("headrace["))
    yield from PROJECT["tool"]["uv"]["constraint-dependencies"]
    yield from PROJECT["tool"]["uv"]["build-constraint-dependencies"]


def test_every_requirement_names_one_version() -> None:
    assert [each for each in _written() if not EXACT.fullmatch(each)] == []


def test_every_installed_package_has_the_version_that_is_written_down() -> None:
    pins = {_name(found[1]): found[3] for each in _written() if (found := EXACT.fullmatch(each))}
    installed = {_name(each.name): each.version for each in distributions() if each.name != "headrace"}
    assert {name: version for name, version in installed.items() if pins.get(name) != version} == {}
