"""What the rounds said, as a Markdown table and an SVG of bars."""

import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Round = Mapping[str, Any]  # by contestant: Throughput or Latency as a dictionary
BAR, ROW, LEFT, WIDTH = 18, 28, 250, 860


def table(
    names: Sequence[tuple[str, str]], rounds: Sequence[Round], latencies: Mapping[int, Sequence[Round]], reference: str
) -> str:
    """One line per contestant; ratios are medians of the ratios within each round."""
    rates = sorted(latencies)
    head = [
        "",
        "promise",
        "events/s, median [lowest–highest]",
        f"{reference} ÷ it",
        "CPU µs/event",
        "broker's",
        "memory MB",
    ]
    head += [f"p50 / p99 / p99.9 ms at {rate:,}/s" for rate in rates]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, promise in names:
        found = [each[name] for each in rounds if each.get(name)]
        late = [[each[name] for each in latencies[rate] if each.get(name)] for rate in rates]
        if not found and not any(late):
            continue
        speeds = [one["rate"] for one in found]
        ratios = [
            each[reference]["rate"] / each[name]["rate"] for each in rounds if each.get(name) and each.get(reference)
        ]
        cells = [
            name,
            promise,
            f"{_k(statistics.median(speeds))} [{_k(min(speeds))}–{_k(max(speeds))}]" if speeds else "–",
            f"{statistics.median(ratios):.2f} [{min(ratios):.2f}–{max(ratios):.2f}]" if ratios else "",
            f"{statistics.median(one['cpu_us'] for one in found):.1f}" if found else "–",
            f"{statistics.median(one['broker_us'] for one in found):.1f}" if found else "–",
            f"{max(one['rss_mb'] for one in found):,.0f}" if found else "–",
        ]
        cells += [_latency(each) for each in late]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def curve(found: Mapping[int, Sequence[Mapping[str, float]]]) -> str:
    """One line per number of partitions; ratios are medians of the ratios to the fewest within each round."""
    lines = [
        "| partitions | events/s, median [lowest–highest] | ÷ the first | CPU µs/event | broker's |",
        "|---|---|---|---|---|",
    ]
    first = found[min(found)]
    for partitions, rounds in sorted(found.items()):
        speeds = [one["rate"] for one in rounds]
        ratios = [one["rate"] / base["rate"] for one, base in zip(rounds, first, strict=True)]
        cells = [
            f"{partitions}",
            f"{_k(statistics.median(speeds))} [{_k(min(speeds))}–{_k(max(speeds))}]",
            f"{statistics.median(ratios):.2f} [{min(ratios):.2f}–{max(ratios):.2f}]",
            f"{statistics.median(one['cpu_us'] for one in rounds):.1f}",
            f"{statistics.median(one['broker_us'] for one in rounds):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def bars(names: Sequence[tuple[str, str]], rounds: Sequence[Round], title: str) -> str:
    """Throughput as bars from nothing to the median, with a line from the lowest to the highest round."""
    rows = [(name, [each[name]["rate"] for each in rounds if each.get(name)]) for name, _ in names]
    rows = [(name, speeds) for name, speeds in rows if speeds]
    largest = max((max(speeds) for _, speeds in rows), default=1.0)

    def scale(rate: float) -> float:
        return (WIDTH - LEFT - 70) * rate / largest

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{ROW * len(rows) + 40}" font-family="sans-serif" font-size="13">',
        f'<text x="4" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, speeds) in enumerate(rows):
        y, middle = 32 + place * ROW, statistics.median(speeds)
        colour = "#2b6cb0" if name.startswith("headrace") else "#a0aec0"
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{scale(middle):.1f}" height="{BAR}" fill="{colour}"/>'
            f'<line x1="{LEFT + scale(min(speeds)):.1f}" x2="{LEFT + scale(max(speeds)):.1f}" y1="{y + 9}" y2="{y + 9}" stroke="#1a202c"/>'
            f'<text x="{LEFT + scale(max(speeds)) + 6:.1f}" y="{y + 13}">{_k(middle)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _latency(found: Sequence[Mapping[str, float]]) -> str:
    if not found:
        return "–"
    said = " / ".join(f"{statistics.median(one[share] for one in found):.1f}" for share in ("p50", "p99", "p999"))
    lost = sum(int(one["lost"]) for one in found)
    return said + (f", {lost} not answered in time" if lost else "")


def _k(rate: float) -> str:
    return f"{rate / 1000:.1f} k"
