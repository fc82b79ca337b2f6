"""The figures as Markdown, written between markers of ``docs/monitoring.md``, and the plots beside it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from bench.drift import plots
from bench.drift.comparison import first_alarm
from bench.drift.delays import ALL

DOCS: Final = Path(__file__).parents[2] / "docs"
NAMES: Final = {
    "headrace": "headrace",
    "evidently": "Evidently 0.7.23, DataDriftPreset",
    "nannyml": "NannyML 0.13.1, univariate",
    "alibi": "alibi-detect 0.13, TabularDrift",
    "river_adwin": "river 0.26.1, ADWIN",
    "river_page_hinkley": "river 0.26.1, Page-Hinkley",
}


def write(results: Mapping[str, Any]) -> None:
    """Whatever ``results`` holds; other tables stay."""
    page = DOCS / "monitoring.md"
    text = page.read_text()
    images = DOCS / "images"
    images.mkdir(exist_ok=True)
    if "comparison" in results:
        text = _between(text, "comparison", comparison(results["comparison"], results.get("throughput")))
        (images / "quiet-windows.svg").write_text(plots.quiet_windows(_shares(results["comparison"])))
    if "false_alarms" in results:
        text = _between(text, "false alarms", false_alarms(results["false_alarms"]))
    if "delays" in results:
        text = _between(text, "delays", delays(results["delays"]))
    if "throughput" in results:
        text = _between(text, "throughput", throughput(results["throughput"]))
    if "calibrators" in results:
        text = _between(text, "calibrators", calibrators(results["calibrators"]))
    if "year" in results:
        text = _between(text, "year", year(results["year"]))
        text = _between(text, "estimates", estimates(results["year"]["estimates"]))
        (images / "year.svg").write_text(plots.year(results["year"]["evidence"], results["year"]["episodes"]))
    if "breaks" in results:
        text = _between(text, "breaks", breaks(results["breaks"]))
    if "injected" in results:
        text = _between(text, "injected", injected(results["injected"]))
    page.write_text(text)


def comparison(found: Mapping[str, Any], ours: Mapping[str, Any] | None) -> str:
    """A row a tool."""
    head = [
        "tool",
        "rows/s (20 features)",
        "peak MB",
        "quiet",
        "wobble",
        "persistent wobble",
        "finds +0.25 sd",
        "finds all-missing",
    ]
    rows = []
    for name, result in found.items():
        if "error" in result:
            rows.append([NAMES[name], *["–"] * 6, str(result["error"])[:80]])
            continue
        alarms = result["alarms"]
        speed = f"{result['rows_per_second']:,.0f}"
        if name == "headrace" and ours is not None:
            speed = f"{ours['rows_per_second']:,} to profile; {speed} with judging"
        rows.append(
            [
                NAMES[name],
                speed,
                f"{result['peak_mb']:.0f}",
                *(_share(alarms[f"quiet {world}"]) for world in ("independent", "wobbling", "autocorrelated")),
                _when(alarms["+0.25 sd"]),
                _when(alarms["feature all missing"]),
            ]
        )
    return _table(head, rows)


def false_alarms(found: Sequence[Mapping[str, Any]]) -> str:
    """A row a world and severity."""
    head = [
        "nothing changes, windows are",
        "severity",
        "streams × windows",
        "alarms",
        "average run length, 95 % interval",
        "budget",
    ]
    rows = [
        [
            each["world"],
            each["severity"],
            f"{each['streams']} × {each['windows'] // each['streams']}",
            str(each["alarms"]),
            f"{each['run_length'][0]:,} – {'∞' if each['run_length'][1] is None else format(each['run_length'][1], ',')}",
            str(each["budget"]),
        ]
        for each in found
    ]
    return _table(head, rows)


def delays(found: Sequence[Mapping[str, Any]]) -> str:
    """A row a change, two columns for each length of history."""
    learnt = sorted({each["learnt"] for each in found})
    head = [
        "change",
        *(f"median (90 %, mean) after {windows} windows of training data" for windows in learnt),
        "named first",
    ]
    rows = []
    for name in ALL:
        of_change = {each["learnt"]: each for each in found if each["change"] == name}
        cells = [
            f"{of_change[windows]['median']:g} ({of_change[windows]['p90']:g}, {of_change[windows]['mean']:.1f})"
            for windows in learnt
        ]
        rows.append([name, *cells, f"{of_change[learnt[-1]]['named_first']:.0%}"])
    return _table(head, rows)


def throughput(found: Mapping[str, Any]) -> str:
    """A row a measure."""
    return _table(
        ["what", "measured"],
        [
            ["profile of 20 features, arrays", f"{found['rows_per_second']:,} rows/s"],
            ["profile of 20 features, prediction records", f"{found['records_per_second']:,} rows/s"],
            ["judging a window of 20 features (208 channels)", f"{found['judge_ms']} ms"],
            ["state of a series of 100 windows in the checkpoint", f"{found['state_bytes'] / 1024:.0f} KiB"],
            [
                f"1,000 features × {found['wide_rows']:,} rows",
                f"{found['wide_seconds']} s; peak {found['wide_peak_mb_early']} MB after a tenth, {found['wide_peak_mb']} MB after all",
            ],
        ],
    )


def year(found: Mapping[str, Any]) -> str:
    """A row an episode of pages and warnings; how many there were of features."""
    loud = [each for each in found["episodes"] if each["severity"] != "inform"]
    quiet = len(found["episodes"]) - len(loud)
    rows = [[each["start"], each["end"] or "–", each["severity"], each["kind"], each["summary"][:160]] for each in loud]
    pages = sum(each["severity"] == "page" for each in loud)
    table = _table(["window", "resolved", "severity", "kind", "what it said"], rows)
    return f"{pages} pages, {len(loud) - pages} warnings, {quiet} notes about features that changed.\n\n{table}"


def injected(found: Sequence[Mapping[str, Any]]) -> str:
    """A row a break."""
    head = ["day", "broken", "told", "named first"]
    rows = [
        [each["day"], f"{each['feature']}: {each['kind']}", each["severity"] or "nothing", each["named"] or "–"]
        for each in found
    ]
    told = sum(each["severity"] is not None for each in found)
    right = sum(each["right"] for each in found)
    return f"{told} of {len(found)} told on the day, {right} with the broken feature first.\n\n{_table(head, rows)}"


def breaks(found: Mapping[str, Any]) -> str:
    """A row a way of breaking; then the days that paged though nothing was broken."""
    head = ["broken", "days", "paged", "named first", "paged, the same in the training data", "named first"]
    rows = [
        [
            name,
            str(each["days"]),
            *(f"{share:.0%}" for name in ("clean", "repeated") for share in reversed(each[name])),
        ]
        for name, each in found["told"].items()
    ]
    days = ", ".join(f"{date(2013, 1, 1) + timedelta(days=at):%d %b} ({channel})" for at, channel in found["false"])
    shuffled = sum(map(len, found["shuffled"]))
    return f"""{_table(head, rows)}

Paged though nothing was broken: {days or "no day"}; of {len(found["shuffled"])} years with shuffled days {shuffled} days."""


def calibrators(found: Sequence[Mapping[str, Any]]) -> str:
    """A row a kind of scores and number of labels."""
    ways = ("none", "line", "line after a test block", "isotonic")
    head = ["scores are", "labels", *(f"ROC AUC, {way}" for way in ways), *(f"log loss, {way}" for way in ways)]
    rows = [
        [
            each["kind"],
            f"{each['labels']:,}",
            *(f"{each[way][metric]:.3f}" for metric in ("roc_auc", "log_loss") for way in ways),
        ]
        for each in found
    ]
    return _table(head, rows)


def estimates(found: Sequence[Sequence[Any]]) -> str:
    """A row a month: means over its windows, and in how many the interval held what was measured."""
    months: dict[str, dict[str, list[Sequence[Any]]]] = {}
    for each in found:
        for month in (each[0][:7], "all"):
            months.setdefault(month, {}).setdefault(each[1], []).append(each)
    names = {"roc_auc": "ROC AUC", "log_loss": "log loss"}
    head = ["month", "windows"]
    for shown in names.values():
        head += [f"{shown} estimated", "measured", "mean error", "in interval"]
    rows = []
    for month in sorted(months):
        row = [month, str(len(months[month]["log_loss"]))]
        for name in names:
            windows = months[month][name]
            estimated, measured = fmean(each[2] for each in windows), fmean(each[5] for each in windows)
            error = fmean(abs(each[2] - each[5]) for each in windows)
            held = fmean(each[3] <= each[5] <= each[4] for each in windows)
            row += [f"{estimated:.3f}", f"{measured:.3f}", f"{error:.3f}", f"{held:.0%}"]
        rows.append(row)
    return _table(head, rows)


def _shares(found: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    shares = {}
    for name, result in found.items():
        alarms = result.get("alarms", {})
        still, wobbling = alarms.get("quiet independent"), alarms.get("quiet wobbling")
        if isinstance(still, list) and isinstance(wobbling, list):
            shares[name] = sum(still) / len(still), sum(wobbling) / len(wobbling)
    return shares


def _share(alarms: Sequence[bool] | str) -> str:
    return "error" if isinstance(alarms, str) else f"{sum(alarms) / len(alarms):.0%}"


def _when(alarms: Any) -> str:
    if isinstance(alarms, str):
        return "error"
    at = first_alarm(alarms)
    return "no" if at is None else f"window {at}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _between(text: str, name: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        message = f"docs/monitoring.md has no place called {name}"
        raise ValueError(message)
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)
