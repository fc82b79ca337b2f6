"""Finding the poison rows of a batch that fails as a whole: halve until each failing row stands alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.inference.errors import DeadlineError, ScoringError

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Isolated(Generic[R]):
    """``answers`` has one entry per row: the answer, or the message of the error that this row alone causes."""

    answers: list[R | ScoringError]
    runs: int


def isolate(
    rows: Sequence[int], run: Callable[[Sequence[int]], list[R]], *, exhausted: Callable[[], bool] = lambda: False
) -> Isolated[R]:
    """Answers for ``rows``, where ``run`` answers any subset of them as a whole or raises `ScoringError`.

    With p poison rows among n it takes at most about 2·p·log2(n) runs. A `DeadlineError` fails its subset without
    further halving, so that a hanging model costs one deadline and not one per row; once ``exhausted`` a failing
    subset fails as a whole too.
    """
    search = _Search(run, exhausted)
    return Isolated(search.answers(rows), search.runs)


class _Search(Generic[R]):
    """Not a function within `isolate` that calls itself: it would hold itself, and the batch, until the collector comes."""

    def __init__(self, run: Callable[[Sequence[int]], list[R]], exhausted: Callable[[], bool]) -> None:
        self._run = run
        self._exhausted = exhausted
        self.runs = 0

    def answers(self, part: Sequence[int]) -> list[R | ScoringError]:
        if not part:
            return []
        self.runs += 1
        try:
            return list(self._run(part))
        except DeadlineError as error:
            return [error] * len(part)
        except ScoringError as error:
            if len(part) == 1 or self._exhausted():
                return [error] * len(part)
        middle = len(part) // 2
        return self.answers(part[:middle]) + self.answers(part[middle:])
