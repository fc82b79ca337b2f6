"""Free ports on the loopback interface."""

import errno
import random
import socket

from deploy.local.errors import PlatformError

HOST = "127.0.0.1"

# Below every usual ephemeral range: an outgoing connection of some other program never takes such a port between our
# look and the server's bind, nor while a killed broker is being started again on its old one.
_FIRST, _LAST = 20_000, 32_000

_given: set[int] = set()  # by this process: whoever asked may not have bound his port yet when the next one asks


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections in TIME_WAIT do not count
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def pick(count: int) -> list[int]:
    """Return free ports that this process has not been given before.

    Another process may still take one: whoever binds must be ready to pick again.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.SystemRandom().randrange(_FIRST, _LAST)
        if port not in _given and is_free(port):
            _given.add(port)
            chosen.append(port)
    return chosen


def demand(port: int, purpose: str) -> int:
    """Return the port that was asked for; raises PlatformError when something listens there already."""
    if is_free(port):
        return port
    message = (
        f"Port {port} for {purpose} is in use on {HOST}: stop what listens there, or choose another (0 takes any)."
    )
    raise PlatformError(message)
