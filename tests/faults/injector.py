"""Faults one after the other, each logged before it is done and again once the platform has recovered."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.crowd import Crowd
from tests.faults.faults import KINDS, NotReachedError, Step
from tests.faults.plant import Plant
from tests.faults.watch import Watch, seconds_until

RECOVERY_LIMIT: Final = 150.0


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault and what came of it. ``recovered`` None: not within the limit; ``skipped``: it did not take place, and why."""

    number: int
    step: Step
    recovered: float | None = None
    skipped: str = ""
    why: str = ""  # it did not recover

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Injector:
    """Works through a schedule."""

    def __init__(self, plant: Plant, crowd: Crowd, watch: Watch, log: Path, calm: float) -> None:
        """``log``: the fault log; ``calm``: seconds between a recovery and the next fault."""
        self._plant = plant
        self._crowd = crowd
        self._watch = watch
        self._file = log.open("ab")
        self._calm = calm
        self._begun = time.monotonic()
        self.done: list[Injected] = []

    def run(self, schedule: Sequence[Step], deadline: float) -> None:
        """Inject all of ``schedule``, or what can be done until ``deadline`` (monotonic)."""
        for number, step in enumerate(schedule):
            if time.monotonic() > deadline:
                self._note(Injected(number, step, skipped="out of time"))
                continue
            time.sleep(self._calm)
            self._crowd.check()
            self._write({"at": self._now(), "number": number, "begins": asdict(step)})
            self._note(self._inject(number, step))
        self._file.close()

    def _inject(self, number: int, step: Step) -> Injected:
        if step.kind == "disk full" and self._plant.disk is None:
            return Injected(number, step, skipped=self._plant.no_disk)
        works_before = self._watch.recovery(step.target, time.monotonic()) if step.target == "monitoring" else None
        try:
            since = KINDS[step.kind](self._plant, step)
        except NotReachedError:  # too little goes on there just now; die it must
            step = Step("kill -9", step.target, {"instead of": step.detail["point"]})
            since = KINDS[step.kind](self._plant, step)
        except AssertionError as error:  # a member that should have become ready did not
            return Injected(number, step, why=str(error))
        targets = {step.target, step.detail.get("other", step.target)}
        questions = [self._watch.recovery(target, since) for target in sorted(targets)]
        if works_before is not None:
            questions.append(works_before)
        took = seconds_until(lambda: all(ask() for ask in questions), limit=RECOVERY_LIMIT, since=since)
        return Injected(number, step, None if took is None else round(took, 2))

    def _note(self, injected: Injected) -> None:
        self.done.append(injected)
        self._write({"at": self._now(), **injected.document()})
        came = injected.skipped or ("did not recover" if injected.recovered is None else f"{injected.recovered:.1f} s")
        print(
            f"  {injected.number:3} {injected.step.kind} {injected.step.target} {dict(injected.step.detail)}: {came}",
            flush=True,
        )

    def _now(self) -> float:
        return round(time.monotonic() - self._begun, 2)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
