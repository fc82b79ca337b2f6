"""The kinds of faults. Each is a function that does it and returns once it is over (healed), or is left to the platform to heal.

What it returns is the moment from which recovery is counted: that of the kill, or that of the end of a pause.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.local.errors import PlatformError
from tests.faults.members import Member
from tests.faults.plant import Plant

FIRES_WITHIN: Final = 25.0
JOINS_WITHIN: Final = 120.0
BROKER_TRIES: Final = 3
REBALANCES: Final = ("on-assign", "before-settlement", "before-seek", "on-revoke")


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a schedule, complete: the same seed gives the same steps."""

    kind: str
    target: str  # a service, broker or mongo
    detail: Mapping[str, Any] = field(default_factory=dict)


class NotReachedError(Exception):
    """The armed point was not passed in time; nothing happened."""


Act = Callable[[Plant, Step], float]


def at_crash_point(plant: Plant, step: Step) -> float:
    """kill -9 at a named point of a warm process; a rebalance is provoked where the point lies in one."""
    member = plant.members[step.target]
    point, stage = step.detail["point"], step.detail["stage"]
    member.arm(point, stage=stage, nth=step.detail["nth"])
    extra = plant.add(step.target, 2) if point in REBALANCES and f"{step.target}-2" not in plant.members else None
    try:
        return _fired(member)
    finally:
        member.disarm()
        if extra is not None:
            plant.remove(extra)


def _fired(member: Member) -> float:
    deadline = time.monotonic() + FIRES_WITHIN
    while not member.fired():
        if time.monotonic() > deadline:
            raise NotReachedError
        time.sleep(0.02)
    return time.monotonic()


def killed(plant: Plant, step: Step) -> float:
    """kill -9 wherever it is."""
    plant.members[step.target].kill()
    return time.monotonic()


def terminated(plant: Plant, step: Step) -> float:
    """SIGTERM: it drains, ends, and is started again."""
    member = plant.members[step.target]
    before = member.pid
    member.send_signal(signal.SIGTERM)
    now = time.monotonic()
    while member.pid == before and time.monotonic() < now + 40:
        time.sleep(0.05)
    return now


def joined(plant: Plant, step: Step) -> float:
    """One more member; it stays."""
    plant.add(step.target, step.detail["number"])
    return time.monotonic()


def left(plant: Plant, step: Step) -> float:
    """A further member leaves, orderly or not; one that is not there joins first."""
    name = f"{step.target}-{step.detail['number']}"
    member = plant.members.get(name) or plant.add(step.target, step.detail["number"])
    member.until_ready(JOINS_WITHIN)
    plant.remove(member, by=signal.Signals[step.detail["by"]])
    return time.monotonic()


def stopped(plant: Plant, step: Step) -> float:
    """SIGSTOP, and SIGCONT later: a process that slept through its time-outs and does not know it."""
    member = plant.members[step.target]
    member.send_signal(signal.SIGSTOP)
    time.sleep(step.detail["seconds"])
    member.send_signal(signal.SIGCONT)
    return time.monotonic()


def broker_killed(plant: Plant, step: Step) -> float:
    """kill -9 of the broker; it is started again at once."""
    now = time.monotonic()
    plant.ground.kafka.kill()
    time.sleep(step.detail["seconds"])
    _start_broker(plant)
    return now


def broker_terminated(plant: Plant, step: Step) -> float:
    """An orderly restart of the broker."""
    now = time.monotonic()
    plant.ground.kafka.stop()
    _start_broker(plant)
    return now


def _start_broker(plant: Plant) -> None:
    """Start it; on a machine without time to spare it may need more than one try."""
    for _ in range(BROKER_TRIES - 1):
        try:
            plant.ground.kafka.start()
        except PlatformError:
            continue
        else:
            return
    plant.ground.kafka.start()


def broker_stopped(plant: Plant, step: Step) -> float:
    """SIGSTOP of the broker: connections stand, nothing answers."""
    pid = plant.ground.kafka.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(step.detail["seconds"])
    os.kill(pid, signal.SIGCONT)
    return time.monotonic()


def mongo_killed(plant: Plant, step: Step) -> float:
    """kill -9 of the database; it is started again."""
    now = time.monotonic()
    plant.ground.mongo.kill()
    time.sleep(step.detail["seconds"])
    plant.ground.mongo.start()
    return now


def link_cut(plant: Plant, step: Step) -> float:
    """Every connection of a service to the broker is reset, several times."""
    link = plant.ground.network.links[step.target]
    for _ in range(step.detail["times"]):
        link.cut()
        time.sleep(0.3)
    return time.monotonic()


def link_refused(plant: Plant, step: Step) -> float:
    """No connection to the broker can be made for a while."""
    link = plant.ground.network.links[step.target]
    link.refuse()
    time.sleep(step.detail["seconds"])
    link.heal()
    return time.monotonic()


def link_delayed(plant: Plant, step: Step) -> float:
    """Everything between a service and the broker is late."""
    link = plant.ground.network.links[step.target]
    link.delay(step.detail["delay"])
    time.sleep(step.detail["seconds"])
    link.heal()
    return time.monotonic()


def link_blackholed(plant: Plant, step: Step) -> float:
    """Nothing passes, in either direction; later all of it does."""
    link = plant.ground.network.links[step.target]
    link.blackhole()
    time.sleep(step.detail["seconds"])
    link.heal()
    return time.monotonic()


def link_deaf(plant: Plant, step: Step) -> float:
    """The broker does what it is asked, and its answers are lost."""
    link = plant.ground.network.links[step.target]
    link.deafen()
    time.sleep(step.detail["seconds"])
    link.cut()
    link.heal()
    return time.monotonic()


def disk_filled(plant: Plant, step: Step) -> float:
    """The data directories' disk is full for a while, and the process dies on it."""
    assert plant.disk is not None
    ballast = plant.disk / "ballast"
    try:
        _fill(ballast)
        plant.members[step.target].kill()  # what it has open it may still write; a new process finds no room
        time.sleep(step.detail["seconds"])
    finally:
        ballast.unlink(missing_ok=True)
    return time.monotonic()


def _fill(ballast: Path) -> None:
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 65536):
                pass
    except OSError:
        return


def clock_skewed(plant: Plant, step: Step) -> float:
    """The process is killed and lives on with a wrong wall clock; later it is mended by an orderly restart."""
    member = plant.members[step.target]
    member.wear_wrong_clock(step.detail["skew"])
    member.kill()
    try:
        member.until_ready(JOINS_WITHIN)
        time.sleep(step.detail["seconds"])
    finally:
        member.wear_wrong_clock(0.0)
    return terminated(plant, step)


def two_killed(plant: Plant, step: Step) -> float:
    """kill -9 of two services at the same moment."""
    plant.members[step.target].kill()
    plant.members[step.detail["other"]].kill()
    return time.monotonic()


KINDS: Final[dict[str, Act]] = {
    "crash point": at_crash_point,
    "kill -9": killed,
    "two kill -9": two_killed,
    "SIGTERM": terminated,
    "member joins": joined,
    "member leaves": left,
    "SIGSTOP": stopped,
    "broker kill -9": broker_killed,
    "broker SIGTERM": broker_terminated,
    "broker SIGSTOP": broker_stopped,
    "mongo kill -9": mongo_killed,
    "link cut": link_cut,
    "link refused": link_refused,
    "link delayed": link_delayed,
    "link blackholed": link_blackholed,
    "link deaf": link_deaf,
    "disk full": disk_filled,
    "clock skew": clock_skewed,
}
SERVICE_KILLS: Final = ("crash point", "kill -9", "two kill -9")
BROKER_KILLS: Final = ("broker kill -9",)
