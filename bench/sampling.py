"""Where CPU time goes, by samples of the stack: a flame graph that does not slow down what it looks at.

cProfile pays for every call and so makes many small calls look dear; here a timer of CPU time interrupts every millisecond.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

EVERY_SECONDS: Final = 0.001
ROW: Final = 17
WIDTH: Final = 1200
NARROWEST: Final = 0.4  # pixels; what is narrower is left out
ROOT: Final = Path(__file__).resolve().parent.parent

Stack = tuple[str, ...]


def sample(work: Callable[[], object], *, seconds: float = 5.0) -> Counter[Stack]:
    """Repeat ``work`` for ``seconds`` of CPU time and count stacks, from the outermost frame below this one."""
    stacks: Counter[Stack] = Counter()

    def take(number: int, frame: FrameType | None) -> None:
        del number
        stack = stack_of(frame, sample.__code__)
        if stack is not None:
            stacks[stack] += 1

    before = signal.signal(signal.SIGPROF, take)
    until = time.process_time() + seconds
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    try:
        while time.process_time() < until:
            work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
    return stacks


def stack_of(frame: FrameType | None, root: CodeType) -> Stack | None:
    """The frames between ``root``'s and ``frame``, from the outermost on; None where ``root`` is not among its callers."""
    stack: list[str] = []
    while frame is not None and frame.f_code is not root:
        stack.append(_label(frame))
        frame = frame.f_back
    return tuple(reversed(stack)) if frame is not None else None


def hottest(stacks: Counter[Stack], limit: int = 25) -> list[tuple[float, str]]:
    """Share of all samples by innermost line."""
    lines = Counter[str]()
    for stack, count in stacks.items():
        lines[stack[-1] if stack else "(the loop itself)"] += count
    return [(count / stacks.total(), line) for line, count in lines.most_common(limit)]


def flame_graph(stacks: Counter[Stack], title: str) -> str:
    """SVG, callers at the top, widths by share; a frame's line number stands where it was interrupted."""
    boxes: list[tuple[int, float, float, str, int]] = []
    _lay_out(stacks, 0, 0.0, stacks.total(), boxes)
    height = (max((row for row, *_ in boxes), default=0) + 3) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">',
        f'<text x="4" y="13" font-size="13">{escape(title)}</text>',
    ]
    for row, left, width, label, count in boxes:
        x, y, pixels = left * WIDTH, (row + 1) * ROW + 4, width * WIDTH
        share = f"{label} — {count / stacks.total():.1%}"
        shown = escape(label[: int(pixels / 6.7)]) if pixels > 3 * 6.7 else ""
        parts.append(
            f'<g><title>{escape(share)}</title><rect x="{x:.1f}" y="{y}" width="{pixels:.1f}" height="{ROW - 1}" '
            f'fill="hsl({20 + hash_of(label) % 35},75%,{62 + hash_of(label) % 14}%)"/>'
            f'<text x="{x + 2:.1f}" y="{y + 12}">{shown}</text></g>'
        )
    return "\n".join([*parts, "</svg>\n"])


def hash_of(label: str) -> int:
    """A colour for a label, the same in every run."""
    return sum(map(ord, label))


def _lay_out(
    stacks: Counter[Stack], depth: int, left: float, total: int, boxes: list[tuple[int, float, float, str, int]]
) -> None:
    children: dict[str, Counter[Stack]] = {}
    for stack, count in stacks.items():
        if len(stack) > depth:
            children.setdefault(stack[depth], Counter())[stack] += count
    for label, inner in sorted(children.items()):
        width = inner.total() / total
        if width * WIDTH >= NARROWEST:
            boxes.append((depth, left, width, label, inner.total()))
            _lay_out(inner, depth + 1, left, total, boxes)
        left += width


def _label(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) and ".venv" not in path.parts else path.name
    return f"{name}:{frame.f_lineno} {frame.f_code.co_qualname}"
