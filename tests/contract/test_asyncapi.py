"""The committed document before the judge who counts: the AsyncAPI project's own parser, run by Node where there is one."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from schemas.asyncapi import asyncapi
from schemas.generate import GENERATED
from schemas.topics import CATALOGUE

PACKAGE = "@asyncapi/parser@3"
SCRIPT = Path(__file__).with_name("asyncapi_parse.cjs")


@pytest.fixture(scope="session")
def modules() -> Path:
    """A directory of node modules with the parser, installed once and kept in the user's cache."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node and npm are not installed; test_generated.py checks the document without them")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "asyncapi-parser"
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once install it once
        if not (home / "complete").exists():
            command = [
                npm,
                "install",
                "--prefix",
                str(home),
                "--no-audit",
                "--no-fund",
                "--no-package-lock",
                "--ignore-scripts",
                PACKAGE,
            ]
            installed = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=200, check=False)
            if installed.returncode != 0:
                pytest.skip(f"npm cannot install {PACKAGE} here: {installed.stderr.strip()[-200:]}")
            (home / "complete").touch()
    return home / "node_modules"


def parsed(modules: Path, document: Path) -> dict[str, Any]:
    environment = {**os.environ, "NODE_PATH": str(modules)}
    command = ["node", str(SCRIPT), str(document)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def test_the_official_parser_finds_no_error_and_no_warning(modules: Path) -> None:
    answer = parsed(modules, GENERATED / "asyncapi.json")
    assert answer["problems"] == []
    assert answer["channels"] == len(CATALOGUE)
    assert answer["operations"] == len(asyncapi()["operations"])


def test_the_official_parser_would_find_an_error(modules: Path, tmp_path: Path) -> None:
    document = asyncapi()
    document["operations"]["validation.send.events.validated"]["action"] = "shout"
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document))
    assert parsed(modules, broken)["problems"]
