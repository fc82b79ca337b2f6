"""Rows of text in columns. Sentences may be wrapped where the width is limited; words, and so names, are never broken or cut."""

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Final

GAP: Final = 2
READABLE: Final = 24  # a sentence is not squeezed into less


def lines(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """``rows`` one below the other, at most ``width`` cells wide where their words allow it; None: one line a row."""
    cells = list(zip(*rows, strict=True))
    widths = [max(map(cell_len, column)) for column in cells]
    if width is not None:
        widths = _fitted(cells, widths, width)
    return [line for row in rows for line in _row(row, widths)]


def _fitted(cells: Sequence[Sequence[str]], widths: list[int], width: int) -> list[int]:
    """The widest columns of sentences give way first."""
    fitted = list(widths)
    excess = sum(widths) + GAP * (len(widths) - 1) - width
    for place in sorted(range(len(widths)), key=lambda place: -widths[place]):
        words = (word for cell in cells[place] for word in cell.split(" "))
        least = max(READABLE, *map(cell_len, words))
        given = min(max(0, excess), max(0, widths[place] - least))
        fitted[place] -= given
        excess -= given
    return fitted


def _row(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]
        if cell_len(cell) > width
        else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, wrapped))
    filled = [cell + [""] * (height - len(cell)) for cell in wrapped]
    gap = " " * GAP
    return [
        gap.join(part + " " * (width - cell_len(part)) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip(*filled, strict=True)
    ]


def cell_len(text: str) -> int:
    """How many cells of a terminal ``text`` takes."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
