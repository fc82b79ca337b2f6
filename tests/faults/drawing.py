"""A fault of a kind, with everything that is left to chance decided: the same seed draws the same."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.faults import REBALANCES, Step
from tests.faults.plant import ON_SMALL_DISK

HOUR: Final = 3600.0
DECADE: Final = 10 * 365.25 * 24 * HOUR
CAN_GROW: Final = ("validation", "inference", "monitoring")
LINKED: Final = ("ingestion", "validation", "inference", "monitoring")
IN_A_TRANSACTION: Final = (
    "before-process",
    "before-produce",
    "mid-produce",
    "before-offsets",
    "before-commit",
    "after-commit",
)
CRASH_POINTS: Final[tuple[tuple[str, str, str], ...]] = (
    *((service, point, "") for service in ("validation", "inference") for point in IN_A_TRANSACTION),
    *(("monitoring", point, "profiles") for point in IN_A_TRANSACTION),
    *(("monitoring", point, "verdicts") for point in IN_A_TRANSACTION),
    *(("registry", point, "decide") for point in IN_A_TRANSACTION),
    *((service, point, "") for service in CAN_GROW for point in REBALANCES),
    ("registry", "before-document", ""),
    ("registry", "before-projection-offset", ""),
    ("ingestion", "before-send", "events.raw"),
    ("ingestion", "after-ack", "events.raw"),
    ("ingestion", "after-ack", "labels.raw"),
    ("notifier", "before-message", ""),
    ("notifier", "after-message", ""),
    ("notifier", "before-handle", ""),
    ("notifier", "before-offset-commit", ""),
    ("notifier", "after-offset-commit", ""),
    ("training", "after-ack", "platform.heartbeats"),
)


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance may choose from."""

    chance: random.Random
    services: tuple[str, ...]
    pauses: tuple[float, ...]  # seconds

    def step(self, kind: str) -> Step:
        """A fault of ``kind``."""
        target, detail = _DRAWN.get(kind, anywhere)(self)
        return Step(kind, target, detail)

    def pause(self) -> float:
        """Seconds that something stands still."""
        return self.chance.choice(self.pauses)


Drawn = tuple[str, dict[str, Any]]


def anywhere(draw: Draw) -> Drawn:
    """Any service, nothing else to decide."""
    return draw.chance.choice(draw.services), {}


def _crash_point(draw: Draw) -> Drawn:
    service, point, stage = draw.chance.choice([each for each in CRASH_POINTS if each[0] in draw.services])
    often = point in IN_A_TRANSACTION and service != "registry"  # the registry has little to do
    return service, {"point": point, "stage": stage, "nth": draw.chance.randint(1, 3) if often else 1}


def _two(draw: Draw) -> Drawn:
    one, other = draw.chance.sample(draw.services, 2)
    return one, {"other": other}


def _member(draw: Draw) -> Drawn:
    by = draw.chance.choice(("SIGKILL", "SIGTERM"))
    return draw.chance.choice(CAN_GROW), {"number": draw.chance.choice((2, 3)), "by": by}


def _stopped(draw: Draw) -> Drawn:
    return draw.chance.choice(draw.services), {"seconds": draw.pause()}


def _broker_down(draw: Draw) -> Drawn:
    return "broker", {"seconds": draw.chance.choice((0.0, 1.0, 3.0))}


def _broker_stopped(draw: Draw) -> Drawn:
    return "broker", {"seconds": min(draw.pause(), 15.0)}


def _mongo_down(draw: Draw) -> Drawn:
    return "mongo", {"seconds": draw.chance.choice((0.0, 2.0, 5.0))}


def _cut(draw: Draw) -> Drawn:
    return draw.chance.choice(LINKED), {"times": draw.chance.randint(1, 4)}


def _delayed(draw: Draw) -> Drawn:
    return draw.chance.choice(LINKED), {"delay": draw.chance.choice((0.05, 0.2)), "seconds": min(draw.pause(), 15.0)}


def _silent(draw: Draw) -> Drawn:
    return draw.chance.choice(LINKED), {"seconds": draw.pause()}


def _disk(draw: Draw) -> Drawn:
    service = draw.chance.choice([each for each in ON_SMALL_DISK if each in draw.services])
    return service, {"seconds": min(draw.pause(), 15.0)}


def _clock(draw: Draw) -> Drawn:
    skew = draw.chance.choice((HOUR, -HOUR, DECADE, -DECADE))
    return draw.chance.choice(draw.services), {"skew": skew, "seconds": min(draw.pause(), 10.0)}


_DRAWN: Final[dict[str, Callable[[Draw], Drawn]]] = {
    "crash point": _crash_point,
    "two kill -9": _two,
    "member joins": _member,
    "member leaves": _member,
    "SIGSTOP": _stopped,
    "broker kill -9": _broker_down,
    "broker SIGTERM": _broker_down,
    "broker SIGSTOP": _broker_stopped,
    "mongo kill -9": _mongo_down,
    "link cut": _cut,
    "link refused": _silent,
    "link delayed": _delayed,
    "link blackholed": _silent,
    "link deaf": _silent,
    "disk full": _disk,
    "clock skew": _clock,
}
