"""What starting the command line costs, and what it says of its commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.loading import load
from cli.main import COMMANDS

ROOT = Path(__file__).parents[3]
HEAVY = (
    "aiokafka",
    "faststream",
    "polars",
    "pymongo",
    "httpx",
    "pydantic",
    "structlog",
    "rich",
    "numpy",
    "onnx",
    "yaml",
)


def loaded_by(*arguments: str) -> set[str]:
    """The packages in memory after a command, and whether it ended well."""
    program = f"""
import sys
from cli.main import app, call
sys.argv = ["headrace", *{list(arguments)!r}]
code = call(app)
print("LOADED", *{{name.partition(".")[0] for name in sys.modules}})
sys.exit(code)
"""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    return set(process.stdout.rpartition("LOADED ")[2].split())


def test_help_loads_nothing_that_only_commands_need() -> None:
    assert loaded_by("--help").isdisjoint(HEAVY)


def test_the_version_loads_nothing_that_only_commands_need() -> None:
    assert loaded_by("--version").isdisjoint(HEAVY)


@pytest.mark.parametrize("name", ["get", "lag", "models"])
def test_a_command_that_only_looks_loads_no_data_frames_no_http_client_and_no_database(name: str) -> None:
    assert loaded_by(name, "--help").isdisjoint({"polars", "httpx", "pymongo", "motor", "faststream", "onnx"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_whole_says_of_a_command_what_its_own_help_says(name: str) -> None:
    command = load(name, COMMANDS[name])
    assert COMMANDS[name].summary == " ".join(command.help.split("\n\n")[0].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(name: str) -> None:
    command = load(name, COMMANDS[name])
    for each in getattr(command, "commands", {name: command}).values():
        if name in {"run", "dlq"}:  # a service for ever; and the dead letters' commands have a module of their own
            continue
        assert any("--json" in parameter.opts for parameter in each.params), each.name
