"""A run on one page, and as JSON."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.oracle.findings import Findings
from tests.faults.playing import Run
from tests.faults.scene_faults import CAUGHT_BY

Mutants = Mapping[tuple[str, str | None], Findings | str]


def document(run: Run, mutants: Mutants) -> dict[str, Any]:
    """For JSON."""
    return {
        "profile": run.profile.name,
        "seed": run.seed,
        "passed": run.passed and not wrong_verdicts(mutants),
        "seconds": round(run.seconds, 1),
        "events": run.events,
        "faults": len(run.faults),
        "kinds": len({each.step.kind for each in run.faults}),
        "recovery": recoveries(run),
        "checks": [finding.document() for finding in run.findings],
        "mutants": [
            {"fault": fault, "mutant": mutant, "caught" if mutant else "passed": str(verdict)}
            for (fault, mutant), verdict in mutants.items()
        ],
        "injected": [each.document() for each in run.injected],
    }


def recoveries(run: Run) -> dict[str, dict[str, float]]:
    """Seconds by kind."""
    found: dict[str, list[float]] = defaultdict(list)
    for each in run.faults:
        if each.recovered is not None:
            found[each.step.kind].append(each.recovered)
    return {
        kind: {"count": len(times), "median": round(median(times), 1), "worst": round(max(times), 1)}
        for kind, times in sorted(found.items())
    }


def wrong_verdicts(mutants: Mutants) -> list[str]:
    """Scenes that did not end as they must: a mutant that got away, a healthy product that did not."""
    wrong = []
    for (fault, mutant), verdict in mutants.items():
        if isinstance(verdict, str):
            wrong.append(f"{fault} on {mutant or 'the healthy product'}: {verdict}")
        elif mutant and not verdict.wrong[CAUGHT_BY[mutant]]:
            wrong.append(f'{fault}: the mutant {mutant} was not caught by "{CAUGHT_BY[mutant]}"')
        elif not mutant and not verdict.passed:
            wrong.append(f"{fault} on the healthy product: {verdict}")
    return wrong


def page(run: Run, mutants: Mutants) -> str:
    """Markdown."""
    wrong = wrong_verdicts(mutants)
    verdict = "passed" if run.passed and not wrong else "FAILED"
    kinds = len({each.step.kind for each in run.faults})
    lines = [
        f"# Faults: profile {run.profile.name}, seed {run.seed}: {verdict}",
        "",
        f"{run.events:,} events, {len(run.faults)} faults of {kinds} kinds, {run.seconds:.0f} s.",
        "",
        "## Checks",
        "",
        *(f"- {finding}" for finding in run.findings),
        "",
        "## Recovery, seconds",
        "",
        "| kind | faults | median | worst |",
        "|---|---|---|---|",
        *(f"| {kind} | {t['count']:.0f} | {t['median']} | {t['worst']} |" for kind, t in recoveries(run).items()),
        "",
    ]
    if mutants:
        lines += ["## Mutants", "", *_mutants(mutants), ""]
    skipped = [each for each in run.injected if each.skipped]
    if skipped:
        lines += ["## Faults that did not take place", ""]
        lines += [f"- {e.number} {e.step.kind} {e.step.target} {dict(e.step.detail)}: {e.skipped}" for e in skipped]
        lines.append("")
    return "\n".join(lines)


def _mutants(mutants: Mutants) -> Sequence[str]:
    rows = ["| fault | product | oracle |", "|---|---|---|"]
    for (fault, mutant), verdict in mutants.items():
        text = verdict if isinstance(verdict, str) else "passed" if verdict.passed else "; ".join(verdict.wrong)
        rows.append(f"| {fault} | {mutant or 'healthy'} | {text} |")
    return rows


def write(directory: Path, run: Run, mutants: Mutants) -> None:
    """``report.md`` and ``report.json``."""
    (directory / "report.md").write_text(page(run, mutants))
    (directory / "report.json").write_text(json.dumps(document(run, mutants), indent=2))
