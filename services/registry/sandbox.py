"""What a probe may do: a bounded amount of memory and time, no network, no new programs.

Memory, CPU time, core files and file sizes are bounded by the kernel (rlimits) everywhere. The network is taken away
as far as the kernel lets us: a seccomp filter that answers EPERM to socket, connect and execve on Linux x86-64 and
arm64; a network namespace of its own where user namespaces are allowed; and on every system Python's own sockets.
"""

import contextlib
import ctypes
import platform
import resource
import signal
import socket
import struct
from pathlib import Path
from typing import Any, Final, NoReturn

_DIE_WITH_PARENT: Final = 1
_NO_NEW_PRIVILEGES: Final = 38
_SET_SECCOMP: Final = 22
_FILTER_MODE: Final = 2
_NEW_USER_AND_NETWORK: Final = 0x10000000 | 0x40000000
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050001  # SECCOMP_RET_ERRNO | EPERM
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: ld abs word, jeq constant, ret constant
# machine → (audit architecture, numbers of socket, socketpair, connect, bind, execve, execveat, ptrace, io_uring_setup)
_SYSCALLS: Final = {
    "x86_64": (0xC000003E, (41, 53, 42, 49, 59, 322, 101, 425)),
    "aarch64": (0xC00000B7, (198, 199, 203, 200, 221, 281, 117, 425)),
}


def die_with_parent() -> None:
    """Have this process killed when the one that started it ends, however it ends. Linux only."""
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def confine(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Confine this process for good. ``memory_bytes`` are those it may still take, above what it has now."""
    present = _address_space()
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _without_network()
    _limit(resource.RLIMIT_AS, present + memory_bytes)


def _limit(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS knows RLIMIT_AS but refuses it
        resource.setrlimit(what, (amount, amount))


def _address_space() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 2 * 1024**3  # no /proc: what the imported libraries take at most
    return pages * resource.getpagesize()


def _without_network() -> None:
    def refused(*_: Any, **__: Any) -> NoReturn:
        message = "a probe has no network"
        raise PermissionError(message)

    socket.socket = refused  # type: ignore[assignment,misc]
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None, use_errno=True)
            libc.unshare(_NEW_USER_AND_NETWORK)
            _filter_system_calls(libc)


def _filter_system_calls(libc: ctypes.CDLL) -> None:
    known = _SYSCALLS.get(platform.machine())
    if known is None:
        return
    architecture, numbers = known
    code = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    for place, number in enumerate(numbers):
        code.append((_JUMP_EQUAL, len(numbers) - place, 0, number))
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    instructions = b"".join(struct.pack("=HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(buffer)))
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0)
