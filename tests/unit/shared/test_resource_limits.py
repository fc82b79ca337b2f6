"""What a process may use is the least of what its control groups and the machine allow."""

from pathlib import PurePosixPath

import psutil
import pytest

from shared.resource_limits import (
    ResourceLimits,
    cpu_quota,
    directories,
    memberships,
    memory_limit,
    mounted,
)

GIB = 1024**3
V2_MOUNT = "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def limits(files: dict[str, str]) -> ResourceLimits:
    return ResourceLimits(lambda path: files.get(str(path)))


def test_version_2_limits_are_those_of_the_group_and_the_groups_above_it() -> None:
    found = limits(
        {
            "/proc/self/cgroup": "0::/pod/container\n",
            "/proc/self/mountinfo": V2_MOUNT,
            "/sys/fs/cgroup/pod/container/memory.max": "max\n",
            "/sys/fs/cgroup/pod/memory.max": f"{GIB // 2}\n",
            "/sys/fs/cgroup/pod/container/cpu.max": "50000 100000\n",
            "/sys/fs/cgroup/pod/cpu.max": "max 100000\n",
        }
    )
    assert (found.memory_bytes(), found.cores()) == (GIB // 2, 0.5)


def test_version_1_limits_are_found_where_a_container_sees_its_own_group_as_the_highest() -> None:
    found = limits(
        {
            "/proc/self/cgroup": "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
            "/proc/self/mountinfo": (
                "40 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
                "41 30 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
            ),
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB // 4}\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "25000\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        }
    )
    assert (found.memory_bytes(), found.cores()) == (GIB // 4, 0.25)


def test_without_any_limit_it_is_the_machine() -> None:
    for files in (
        {},
        {"/proc/self/cgroup": "nonsense\n", "/proc/self/mountinfo": "x - cgroup\n1 2 3 - cgroup2\n"},
        {
            "/proc/self/cgroup": "5:memory:/\n3:cpu:/\n",
            "/proc/self/mountinfo": "1 2 0:1 / /m rw - cgroup cgroup rw,memory\n1 2 0:1 / /c rw - cgroup cgroup rw,cpu\n",
            "/m/memory.limit_in_bytes": "9223372036854771712\n",
            "/c/cpu.cfs_quota_us": "-1\n",
            "/c/cpu.cfs_period_us": "100000\n",
        },
    ):
        found = limits(files)
        assert found.memory_bytes() == psutil.virtual_memory().total
        assert found.cores() >= 1


def test_this_process_has_limits() -> None:
    found = ResourceLimits()
    assert psutil.Process().memory_info().rss < found.memory_bytes() <= psutil.virtual_memory().total
    assert 0 < found.cores() <= psutil.cpu_count()


def test_a_limit_that_changes_is_told_by_the_next_look() -> None:
    files = {"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": V2_MOUNT, "/sys/fs/cgroup/memory.max": f"{GIB}"}
    found = limits(files)
    assert found.memory_bytes() == GIB
    files["/sys/fs/cgroup/memory.max"] = f"{GIB // 8}"
    assert found.memory_bytes() == GIB // 8


@pytest.mark.parametrize("text", ["max", "", "-1", "0", "1.5", "x"])
def test_what_is_no_number_of_bytes_is_no_limit(text: str) -> None:
    assert memory_limit(text) is None


@pytest.mark.parametrize("text", ["max 100000", "", " ", "-1 100000", "0 100000", "100000", "100000 0", "a b"])
def test_what_is_no_quota_and_period_is_no_limit(text: str) -> None:
    assert cpu_quota(text) is None


def test_a_quota_of_version_1_stands_on_two_lines() -> None:
    assert cpu_quota("150000\n 100000\n") == 1.5


def test_a_mount_whose_name_has_a_blank_is_found() -> None:
    [mount] = mounted("31 24 0:27 / /my\\040groups rw - cgroup2 cgroup2 rw\n")
    [at] = directories(memberships("0::/"), [mount], "memory")
    assert at == PurePosixPath("/my groups")
