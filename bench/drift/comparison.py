"""The same windows before every tool: each in an environment of its own, made by uv, with exact pins."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.drift.streams import CHANGED, GROSS, SMALL, Change, Stream

PINS: Final = {
    "evidently": ("evidently==0.7.23", "pandas==2.3.3"),
    "nannyml": ("nannyml==0.13.1", "pandas==2.3.3", "statsmodels==0.14.5"),
    "alibi": ("alibi-detect==0.13.0",),
    "river_adwin": ("river==0.26.1",),
    "river_page_hinkley": ("river==0.26.1",),
}
QUIET: Final = 50  # windows in which nothing changes
FOLLOWED: Final = 10  # windows of a change, from the first on
TRAINED: Final = 40  # windows
ROOT: Final = Path(__file__).parents[2]


def write(file: Path) -> None:
    """Quiet windows of a still, a wobbling and a persistently wobbling world, and windows of every change in the still one."""
    arrays: dict[str, Any] = {}
    for moves in ("independent", "wobbling", "autocorrelated"):
        stream = Stream(11, moves)
        _add(arrays, f"reference {moves}", [stream.window() for _ in range(TRAINED)], flat=True)
        _add(arrays, f"quiet {moves}", [stream.window() for _ in range(QUIET)])
        arrays[f"quiet {moves}/reference"] = moves
    for name, change in _changes().items():
        stream = Stream(12)
        _add(arrays, name, [stream.window(change=change) for _ in range(FOLLOWED)])
        arrays[f"{name}/reference"] = "independent"
    np.savez(file, **arrays)


def run(name: str, file: Path) -> dict[str, Any]:
    """What `peers.py` says of one tool; the error instead, where it cannot be installed or fails."""
    script = str(Path(__file__).parent / "peers.py")
    command = [sys.executable, script, name, str(file)]
    if name in PINS:
        pins = [part for pin in PINS[name] for part in ("--with", pin)]
        command = [
            "uv",
            "run",
            "-q",
            "--isolated",
            "--no-project",
            "--python",
            "3.11",
            *pins,
            "python",
            script,
            name,
            str(file),
        ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if name not in PINS else ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:] or ["no output"]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare() -> dict[str, Any]:
    """All tools, by name."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "windows.npz"
        write(file)
        found = {}
        for name in ("headrace", *PINS):
            print(f"comparing with {name}", flush=True)
            found[name] = run(name, file)
        return found


def first_alarm(alarms: list[bool] | str) -> int | None:
    """The window of the first alarm, from 1; None without."""
    return alarms.index(True) + 1 if isinstance(alarms, list) and True in alarms else None


def _changes() -> Mapping[str, Change]:
    """Of inputs: no other tool is given predictions or latencies."""
    return {name: change for name, change in {**SMALL, **GROSS}.items() if name not in CHANGED}


def _add(arrays: dict[str, Any], name: str, windows: list[Any], *, flat: bool = False) -> None:
    join = np.concatenate if flat else np.stack
    arrays[f"{name}/numbers"] = join([window.numbers for window in windows])
    arrays[f"{name}/codes"] = join([window.codes for window in windows])
