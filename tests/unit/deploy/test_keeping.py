"""What ends by itself is started again, and a sentence says when that does not help."""

import threading
import time
from collections.abc import Callable

from deploy.local import keeping
from deploy.local.errors import PlatformError
from deploy.local.keeping import Keeper


class Part:
    def __init__(self, *, lives: int, startable: bool = True) -> None:
        self.starts = 0
        self.lives = lives
        self.startable = startable

    @property
    def alive(self) -> bool:
        return self.starts >= self.lives

    def start(self) -> None:
        self.starts += 1
        if not self.startable:
            raise PlatformError("the port is taken")


def keep(part: Part, until: Callable[[Keeper], bool]) -> tuple[Keeper, list[str]]:
    said: list[str] = []
    keeper = Keeper({"Kafka": part}, said.append, "logs")
    keeper.start()
    deadline = time.monotonic() + 20
    while not until(keeper) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    keeper.close()
    return keeper, said


def test_a_part_that_ended_serves_again_and_both_are_said() -> None:
    part = Part(lives=1)
    keeper, said = keep(part, lambda _: part.starts == 1)
    assert keeper.failure is None
    assert said == [
        "Kafka ended unexpectedly (its log is in logs); starting it again",
        "Kafka serves again",
    ]


def test_a_part_that_keeps_ending_is_given_up() -> None:
    part = Part(lives=1000)
    keeper, _ = keep(part, lambda found: found.failure is not None)
    assert keeper.failure is not None
    assert "Kafka ended 5 times within 120 s" in keeper.failure
    assert part.starts == keeping.TRIES


def test_a_part_that_cannot_be_started_says_why() -> None:
    keeper, _ = keep(Part(lives=1, startable=False), lambda found: found.failure is not None)
    assert keeper.failure == "Kafka ended unexpectedly and cannot be started again: the port is taken"
