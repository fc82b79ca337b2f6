"""How hard a run is. The schedule of faults follows from profile and seed."""

import random
from dataclasses import dataclass
from typing import Final

from schemas.topics import SERVICES
from tests.faults.crowd import Load
from tests.faults.drawing import Draw
from tests.faults.faults import KINDS, Step
from tests.faults.plant import Timeouts


@dataclass(frozen=True, slots=True)
class Profile:
    """``steps`` as they are, then one fault of each of ``kinds`` and ``more`` that chance draws, shuffled. Times in seconds."""

    name: str
    events: int
    rate: float  # events a second
    pauses: tuple[float, ...]  # of SIGSTOP, blackholes and the like
    calm: float
    limit: float  # for the faults; what is not done by then is left out
    timeouts: Timeouts
    least_faults: int
    least_kinds: int
    steps: tuple[Step, ...] = ()
    kinds: tuple[str, ...] = ()
    more: int = 0
    services: tuple[str, ...] = SERVICES
    partitions: int = 4

    def load(self, seed: int) -> Load:
        """What producers send."""
        return Load(seed, self.events, self.rate)

    def schedule(self, seed: int) -> list[Step]:
        """The faults in order."""
        chance = random.Random(f"{self.name}/{seed}")
        kinds = [*self.kinds, *(chance.choice(list(KINDS)) for _ in range(self.more))]
        chance.shuffle(kinds)
        draw = Draw(chance, self.services, self.pauses)
        return [*self.steps, *(draw.step(kind) for kind in kinds)]


DEFAULT: Final = Profile(
    name="default",
    events=5_000,
    rate=150.0,
    pauses=(9.0,),
    calm=0.5,
    limit=400.0,
    timeouts=Timeouts(session=6.0, transaction=8.0),
    least_faults=6,
    least_kinds=6,
    steps=(
        Step("crash point", "validation", {"point": "before-commit", "stage": "", "nth": 2}),
        Step("link deaf", "ingestion", {"seconds": 2.0}),
        Step("broker kill -9", "broker", {"seconds": 0.0}),
        Step("member joins", "inference", {"number": 2}),
        Step("SIGSTOP", "inference", {"seconds": 9.0}),  # past session and transaction time-out
        Step("kill -9", "monitoring"),
    ),
    services=tuple(name for name in SERVICES if name != "training"),
    partitions=2,
)
CI: Final = Profile(
    name="ci",
    events=20_000,
    rate=160.0,
    pauses=(4.0, 9.0),  # the second is past session and transaction time-out
    calm=0.5,
    limit=240.0,
    timeouts=Timeouts(session=6.0, transaction=8.0),
    least_faults=15,
    least_kinds=8,
    kinds=(*KINDS, "crash point", "crash point"),
)
LONG: Final = Profile(
    name="long",
    events=200_000,
    rate=190.0,
    pauses=(5.0, 5.0, 5.0, 15.0, 15.0, 60.0),
    calm=0.5,
    limit=1_200.0,
    timeouts=Timeouts(session=10.0, transaction=15.0),
    least_faults=70,
    least_kinds=8,
    kinds=(*KINDS, *KINDS, *(("crash point",) * 16)),
    more=22,
)
PROFILES: Final = {profile.name: profile for profile in (DEFAULT, CI, LONG)}
