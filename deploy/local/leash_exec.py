"""Registers its own process group with the watchdog, then becomes the wanted program.

Run as ``python -I -S leash_exec.py PIPE PROGRAM [ARGUMENT…]`` in a new session; standard library only.
"""

import os
import signal
import sys

_CANNOT_EXECUTE = 127


def _become(pipe: int, argv: list[str]) -> None:
    os.write(pipe, b"+%d\n" % os.getpid())  # without a watchdog this fails, and nothing runs unguarded
    os.close(pipe)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would pass that on
    os.execvp(argv[0], argv)  # noqa: S606 - that is its purpose


if __name__ == "__main__":
    try:
        _become(int(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[2]}: {error.strerror}\n")
        sys.exit(_CANNOT_EXECUTE)
