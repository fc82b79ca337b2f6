"""Advisory file locks: freed by the kernel when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.errors import PlatformError

_RETRY_S = 0.05


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold ``path`` while the block runs; waits for another holder as long as it takes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Return a descriptor that holds ``path`` until it is closed, or None when another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def claim(directory: Path, *, patience_s: float = 5.0) -> int:
    """Make this process the one instance that works on ``directory``; returns the lock's descriptor.

    A holder whose process is gone is waited for up to ``patience_s``: its children are being ended.
    Raises PlatformError when the directory cannot be written or belongs to a living instance.
    """
    path = directory / "platform.lock"
    deadline = time.monotonic() + patience_s
    try:
        directory.mkdir(parents=True, exist_ok=True)
        while (descriptor := try_lock(path)) is None:
            holder = _holder(path)
            if (holder and _alive(holder)) or time.monotonic() > deadline:
                who = f"process {holder}" if holder else "another process"
                message = (
                    f"The data directory {directory} is in use by {who}: "
                    "stop that instance, or choose another directory with --data-dir."
                )
                raise PlatformError(message)
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        message = (
            f"The data directory {directory} cannot be written ({error.strerror}): "
            "free space there, correct its permissions, or choose another with --data-dir."
        )
        raise PlatformError(message) from error
    return descriptor


def _holder(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
