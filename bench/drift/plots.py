"""Plots as plain SVG: no library, and the same bytes for the same figures."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

WIDTH: Final = 900
LEFT: Final = 150
COLOURS: Final = {"page": "#c0392b", "warn": "#d68910", "inform": "#2874a6"}
FONT: Final = 'font-family="sans-serif" font-size="12"'
TOP: Final = 4.0  # log10 of an e-value: the upper edge of a lane
HEIGHT: Final = 70


def quiet_windows(shares: Mapping[str, tuple[float, float]]) -> str:
    """Bars: the share of windows that alarm while nothing changes, and while means wobble, for every tool."""
    rows = []
    for place, (name, (still, wobbling)) in enumerate(shares.items()):
        top = 40 + 44 * place
        rows.append(_text(LEFT - 8, top + 18, name, anchor="end"))
        for offset, share, colour in ((0, still, "#7fb3d5"), (16, wobbling, "#c0392b")):
            length = share * (WIDTH - LEFT - 80)
            rows.append(
                f'<rect x="{LEFT}" y="{top + offset}" width="{max(length, 1):.1f}" height="14" fill="{colour}"/>'
            )
            rows.append(_text(LEFT + max(length, 1) + 6, top + offset + 12, f"{share:.0%}"))
    title = _text(LEFT, 24, "Windows that alarm: nothing changes (blue), means wobble by 0.06 sd (red)")
    return _svg(40 + 44 * len(shares) + 10, [title, *rows])


def year(evidence: Sequence[tuple[str, str, float, float | None]], episodes: Sequence[Mapping[str, Any]]) -> str:
    """A lane a detector: evidence by day on a log scale with its threshold, and the alerts over it."""
    names = list(dict.fromkeys(name for _, name, _, threshold in evidence if threshold is not None))
    parts = []
    for place, name in enumerate(names):
        base = 40 + (place + 1) * HEIGHT - 10
        points = [(day, value) for day, group, value, _ in evidence if group == name and value is not None]
        limit = next(threshold for _, group, _, threshold in evidence if group == name and threshold is not None)
        parts.append(_text(LEFT - 8, base - 20, name, anchor="end"))
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{_y(limit, base):.1f}" y2="{_y(limit, base):.1f}" stroke="#999" stroke-dasharray="4"/>'
        )
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{base}" y2="{base}" stroke="#ccc"/>')
        line = " ".join(f"{_x(day):.1f},{_y(value, base):.1f}" for day, value in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="#1b4f72"/>')
    base = 40 + len(names) * HEIGHT + 20
    for row, severity in enumerate(COLOURS):
        parts.append(_text(LEFT - 8, base + 18 * row + 10, f"alerts: {severity}", anchor="end"))
        for episode in episodes:
            if episode["severity"] == severity:
                first, last = _x(episode["start"]), _x(episode["end"] or "2013-12-31")
                parts.append(
                    f'<rect x="{first:.1f}" y="{base + 18 * row}" width="{max(last - first, 2):.1f}" height="12" fill="{COLOURS[severity]}"><title>{_escaped(episode["summary"])}</title></rect>'
                )
    months = [_text(_x(f"2013-{month:02}-01"), 24, f"{date(2013, month, 1):%b}") for month in range(3, 13)]
    return _svg(base + 70, [*months, *parts])


def _x(day: str) -> float:
    start, end = date(2013, 3, 1).toordinal(), date(2014, 1, 1).toordinal()
    return LEFT + (date.fromisoformat(day).toordinal() - start) / (end - start) * (WIDTH - LEFT - 10)


def _y(value: float, base: float) -> float:
    return base - max(0.0, min(value, TOP)) / TOP * (HEIGHT - 18)


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} text-anchor="{anchor}">{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _svg(height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"
