"""Starts the probe as a child process and reads every way in which it can end as an answer."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

import services
from schemas.definitions import FeatureSet
from schemas.events.contract import encode
from schemas.events.training import Candidate
from services.registry.probe import ProbeAnswer, ProbeTask

STARTUP_SECONDS: Final = 20.0  # imports on a busy machine
_KILLED: Final = {
    signal.SIGKILL: ("memory", "the system killed the probe, most likely because the model took too much memory."),
    signal.SIGXCPU: ("timeout", "the model used up the probe's processor time."),
}


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """``memory_bytes`` a model may take besides its own size; ``seconds`` it may run."""

    memory_bytes: int
    seconds: float


async def probe(path: Path, candidate: Candidate, feature_set: FeatureSet, limits: ProbeLimits) -> ProbeAnswer:
    """What probing the file at ``path`` came to. Kills the child when cancelled, and when it outlives its deadline."""
    task = ProbeTask(
        path=os.path.abspath(path),  # noqa: ASYNC240, PTH100 - text only, no input or output
        candidate=msgspec.Raw(encode(candidate)),
        feature_set=msgspec.Raw(encode(feature_set)),
        memory_bytes=limits.memory_bytes,
        cpu_seconds=int(limits.seconds + STARTUP_SECONDS),
        run_seconds=limits.seconds,
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.registry.probe",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=path.parent,
        env=_environment(),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.seconds + STARTUP_SECONDS):
            written, _ = await child.communicate(msgspec.json.encode(task))
    except TimeoutError:
        return ProbeAnswer("timeout", f"loading and running the model took longer than {limits.seconds:g} s.")
    finally:
        await _end(child)
    return _answer(child.returncode or 0, written)


def _answer(code: int, written: bytes) -> ProbeAnswer:
    if code < 0:
        number = signal.Signals(-code)
        crash = ("crash", f"the model crashed the probe ({number.name}).")
        return ProbeAnswer(*_KILLED.get(number, crash))
    try:
        return msgspec.json.decode(written, type=ProbeAnswer)
    except msgspec.MsgspecError:
        return ProbeAnswer("crash", f"the probe ended with exit code {code} and without an answer.")


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _environment() -> dict[str, str]:
    """No secret, no proxy: only what Python needs to find this package."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR") if name in os.environ}
    root = str(Path(services.__path__[0]).parent)
    return kept | {
        "PYTHONPATH": root,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
