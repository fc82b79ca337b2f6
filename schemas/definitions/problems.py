"""What is wrong with definitions: one problem with its place, and all of them as one error, which is never without end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from json import dumps
from typing import Final

from schemas.reasons import MAX_REASONS, shortened
from schemas.topics import KIB

MAX_PROBLEMS: Final = MAX_REASONS
PATH_LIMIT: Final = 200  # characters
MESSAGE_LIMIT: Final = 1000  # characters: the longest sentence that is meant to be read names some dozens of estimators
PROBLEMS_BYTES: Final = 512 * KIB  # of all that are told, as JSON: half of what the registry's reply may have


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: ``document`` counts from 1 in its source; ``path`` is like ``spec.features[2].range``.

    ``source`` is the file, ``line`` counts from 1; None where only the decoded document is known. ``more``: how many
    further problems were left out behind it.
    """

    document: int
    path: str
    message: str
    source: str | None = None
    line: int | None = None
    more: int = 0

    def within(self, source: str | None) -> "Problem":
        """The same problem, told with the file it is in."""
        return replace(self, source=source)

    def __str__(self) -> str:
        rest = f" (and {self.more} more problems)" if self.more else ""
        return f"{place(self.source, self.line, self.document)}, {self.path}: {self.message}{rest}"


class DefinitionError(Exception):
    """A text that holds at least one bad definition; ``problems`` names them, `capped`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = capped(problems)
        super().__init__("\n".join(map(str, self.problems)))


def capped(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The first `MAX_PROBLEMS` of ``problems`` within `PROBLEMS_BYTES`, their texts cut; the last one tells how many are left out."""
    kept: list[Problem] = []
    room = PROBLEMS_BYTES
    for problem in problems[:MAX_PROBLEMS]:
        path, message = shortened(problem.path, PATH_LIMIT), shortened(problem.message, MESSAGE_LIMIT)
        cut = replace(problem, path=path, message=message)
        room -= len(dumps(str(cut), ensure_ascii=False).encode(errors="surrogatepass"))
        if room < 0:
            break
        kept.append(cut)
    left_out = count(problems[len(kept) :])
    if left_out:
        kept[-1] = replace(kept[-1], more=kept[-1].more + left_out)
    return tuple(kept)


def count(problems: Sequence[Problem]) -> int:
    """How many problems these are, with those that were left out behind them."""
    return sum(1 + problem.more for problem in problems)


def place(source: str | None, line: int | None, document: int) -> str:
    """Where something is: ``rides.yaml:14, document 2``."""
    if source is None:
        return f"document {document}"
    return f"{source}:{line}, document {document}" if line else f"{source}, document {document}"
