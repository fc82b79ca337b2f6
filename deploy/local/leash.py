"""Children that never outlive their owner, even when the owner is killed with kill -9.

A watchdog process holds the read end of a pipe. Each child registers its own process group through that pipe
*before* it becomes the wanted program, so no moment exists in which it runs unguarded. When the owner dies, the
kernel closes the pipe and the watchdog kills every registered group. Works on Linux and macOS. PR_SET_PDEATHSIG
was not used: it fires when the forking *thread* ends, not the process, and is unknown to macOS.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_HERE = Path(__file__).parent
_PYTHON = (sys.executable, "-I", "-S")  # no site packages: such a process starts in about 15 ms
_CLOSING_S = 10.0


class Leash:
    """Starts child processes and ends those that are left when the owner ends, in whatever way."""

    def __init__(self, *, holding: Sequence[int] = ()) -> None:
        """``holding``: descriptors (of locks) that stay open until the last child is gone."""
        self._holding = tuple(holding)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._watch()

    def _watch(self) -> None:
        reading, self._pipe = os.pipe()
        self._watchdog = subprocess.Popen(
            [*_PYTHON, str(_HERE / "leash_watchdog.py"), str(reading), str(os.getpid())],
            pass_fds=(reading, *self._holding),
            start_new_session=True,  # a Ctrl-C in the terminal must not reach it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # whoever reads our output must not wait for the watchdog
            stderr=subprocess.DEVNULL,
        )
        os.close(reading)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        output: int | IO[bytes] = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start ``argv`` as leader of a new process group; its stdout and stderr both go to ``output``.

        A program that cannot be executed ends with code 127 and one line that says why.
        """
        with self._lock:
            self._ensure_watched()
            process = subprocess.Popen(
                [*_PYTHON, str(_HERE / "leash_exec.py"), str(self._pipe), *argv],
                pass_fds=(self._pipe,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
            )
            self._processes[process.pid] = process
        return process

    def _ensure_watched(self) -> None:
        if self._watchdog.poll() is None:
            return
        os.close(self._pipe)
        self._watch()
        for group in self._processes:
            self._tell(f"+{group}\n")

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # the next spawn starts another watchdog
            os.write(self._pipe, line.encode())

    def stop(self, process: subprocess.Popen[bytes], grace_s: float) -> int:
        """Ask the process to end, kill its whole group after ``grace_s`` seconds; returns its exit code."""
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
        return self.kill(process)

    def kill(self, process: subprocess.Popen[bytes]) -> int:
        """Kill the process and what it started (kill -9), wait for its end; returns its exit code."""
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        with self._lock:
            if self._processes.pop(process.pid, None):
                self._tell(f"-{process.pid}\n")
        return code

    def close(self) -> None:
        """Kill whatever still runs. Further spawns are an error."""
        for process in tuple(self._processes.values()):
            self.kill(process)
        os.close(self._pipe)
        with suppress(subprocess.TimeoutExpired):
            self._watchdog.wait(_CLOSING_S)

    def __enter__(self) -> Self:
        """Return the leash itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
