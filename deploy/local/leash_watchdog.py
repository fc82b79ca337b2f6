"""The process behind a Leash: kills every registered process group once the owner is gone.

Run as ``python -I -S leash_watchdog.py PIPE OWNER``; standard library only. Reads lines ``+GROUP`` and ``-GROUP``.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

_LOOK_S = 0.5
_LATE_S = 5.0


class Watchdog:
    """Knows the groups that must not outlive the owner."""

    def __init__(self, pipe: int, owner: int) -> None:
        """``pipe``: read end whose other end the owner holds; ``owner``: its process id."""
        self._pipe = pipe
        self._owner = owner
        self._groups: set[int] = set()
        self._rest = b""

    def run(self) -> None:
        """Wait for the owner's end, then kill; also what registers in the last moment."""
        while self._read() and os.getppid() == self._owner:
            pass
        deadline = time.monotonic() + _LATE_S
        while time.monotonic() < deadline:
            self._kill()
            if not self._read(0.01) and not self._groups:
                return

    def _read(self, timeout_s: float = _LOOK_S) -> bool:
        """Take in what was registered; False at the end of the pipe: all writers are gone."""
        if not select.select([self._pipe], [], [], timeout_s)[0]:
            return True
        data = os.read(self._pipe, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            change = self._groups.add if line[:1] == b"+" else self._groups.discard
            change(int(line[1:]))
        return bool(data)

    def _kill(self) -> None:
        for group in tuple(self._groups):
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                self._groups.discard(group)
            except PermissionError:  # macOS says this of a group of zombies
                self._groups.discard(group)
        time.sleep(0.01)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    with suppress(KeyboardInterrupt):
        Watchdog(int(sys.argv[1]), int(sys.argv[2])).run()
