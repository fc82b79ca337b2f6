"""The rows of a batch turned into columns: one pass over each row while it is at hand, and no look at what is usual."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from schemas.feature_columns import ABSENT

Row = Mapping[str, Any]


class SentRows:
    """Reads the features called ``names``, which producers send."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names: Final = tuple(names)
        self._known: Final = frozenset(names)
        self._pick: Final = _picker(self._names)

    def columns(self, rows: Sequence[Row]) -> tuple[Sequence[Sequence[Any]], dict[int, Row]]:
        """The values by name, `ABSENT` where one was not sent; and those rows, by number, that hold not just ``names``."""
        picked: list[Sequence[Any]] = []
        unusual: dict[int, Row] = {}
        pick, width = self._pick, len(self._names)
        for number, row in enumerate(rows):
            try:
                picked.append(pick(row))
            except KeyError:
                picked.append([row.get(name, ABSENT) for name in self._names])
                unusual[number] = row
            else:
                if len(row) != width:
                    unusual[number] = row
        return list(zip(*picked, strict=True)), unusual

    def beside(self, row: Row) -> list[str]:
        """What ``row`` holds beside ``names``, in its order."""
        return [name for name in row if name not in self._known]


def _picker(names: Sequence[str]) -> Callable[[Row], Sequence[Any]]:
    """What gives the values under ``names`` of a row; it raises KeyError where one is absent."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: [row[name] for name in names]
