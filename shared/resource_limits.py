"""How much memory and how many cores this process may use: its control groups' limits, else what the machine has.

Control groups of both versions; a group cannot have more than the groups above it, so the least along the path counts. What is
read are a few small files of the kernel; elsewhere than on Linux there are none.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import psutil

Read = Callable[[PurePosixPath], str | None]  # a file's text, None where there is none

GROUPS: Final = PurePosixPath("/proc/self/cgroup")
MOUNTS: Final = PurePosixPath("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a hierarchy of control groups is seen: ``root`` is the group that stands at ``point``."""

    root: PurePosixPath
    point: PurePosixPath
    controllers: frozenset[str]  # empty: version 2, where all are in one


class ResourceLimits:
    """The limits of this process. Where its groups are is found once; the limits may change while it runs."""

    def __init__(self, read: Read | None = None) -> None:
        """``read`` stands for the file system."""
        self._read = read or _read
        groups, mounts = memberships(self._read(GROUPS) or ""), mounted(self._read(MOUNTS) or "")
        self._memory = list(directories(groups, mounts, "memory"))
        self._cpu = list(directories(groups, mounts, "cpu"))

    def memory_bytes(self) -> int:
        """What may be resident at most."""
        files = [self._read(at / name) for at in self._memory for name in ("memory.max", "memory.limit_in_bytes")]
        return min([psutil.virtual_memory().total, *(limit for text in files if (limit := memory_limit(text or "")))])

    def cores(self) -> float:
        """How many cores may be busy at once, on average."""
        quotas = (self._quota(at) for at in self._cpu)
        return min([float(_processors()), *(quota for quota in quotas if quota)])

    def _quota(self, at: PurePosixPath) -> float | None:
        text = self._read(at / "cpu.max")
        if text is None:
            text = f"{self._read(at / 'cpu.cfs_quota_us') or ''} {self._read(at / 'cpu.cfs_period_us') or ''}"
        return cpu_quota(text)


def memberships(text: str) -> dict[str, PurePosixPath]:
    """``/proc/self/cgroup``: the group of each controller of version 1; that of version 2 stands under ``""``."""
    groups: dict[str, PurePosixPath] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            groups |= {name: PurePosixPath(path) for name in controllers.split(",")}
    return groups


def mounted(text: str) -> list[Mount]:
    """``/proc/self/mountinfo``: the mounts of control groups. Fields as in proc(5)."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, *options) = before.split(), (*after.split(), "", "")[:3]
        if kind not in ("cgroup", "cgroup2") or len(fields) < 5:  # noqa: PLR2004 - the fifth is where it is seen
            continue
        controllers = frozenset(options[0].split(",")) if kind == "cgroup" else frozenset[str]()
        mounts.append(Mount(PurePosixPath(_plain(fields[3])), PurePosixPath(_plain(fields[4])), controllers))
    return mounts


def directories(groups: dict[str, PurePosixPath], mounts: list[Mount], controller: str) -> Iterator[PurePosixPath]:
    """Where files of ``controller`` may say a limit of this process: its group and those above, as far as they are seen."""
    for mount in mounts:
        if mount.controllers and controller not in mount.controllers:
            continue
        group = groups.get(controller if mount.controllers else "")
        if group is None:
            continue
        # A container may be told its group's path on the host while its own group is the highest that it sees.
        below = group.relative_to(mount.root) if group.is_relative_to(mount.root) else PurePosixPath()
        at = mount.point / below
        yield from (at, *(above for above in at.parents if above.is_relative_to(mount.point)))


def memory_limit(text: str) -> int | None:
    """``memory.max`` or ``memory.limit_in_bytes``, bytes; None where there is no limit."""
    word = text.strip()
    return int(word) if word.isdecimal() and int(word) > 0 else None


def cpu_quota(text: str) -> float | None:
    """``cpu.max``, or version 1's quota and period with a blank between: cores; None where there is no limit."""
    words = text.split()
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):  # noqa: PLR2004 - quota and period
        return None
    return int(words[0]) / int(words[1])


def _plain(path: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, letter)
    return path


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(path: PurePosixPath) -> str | None:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return None
