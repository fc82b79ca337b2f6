"""What could not be told in time: one message says how old it is, many become one message that names the worst. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from services.notifier.notices import SEVERITIES, Notice, by_severity

TOGETHER: Final = 5  # so many late messages become one
MOST_TOGETHER: Final = 20_000  # so many at most, late or of a storm; the ledger has an entry for each, before and after
WORST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Overdue:
    """A notice and how long ago its record was appended."""

    notice: Notice
    age: timedelta


def aged(overdue: Overdue) -> Notice:
    """The notice, saying how old it is."""
    fact = ("Late", f"it has waited for {length(overdue.age)}, because nobody could be told")
    return replace(overdue.notice, facts=(fact, *overdue.notice.facts))


def together(found: Sequence[Overdue]) -> Notice:
    """One notice for all of ``found`` (in their order): how many of which severity, how old, and the worst of them.

    Of an alert that began and ended meanwhile only the latest state is shown.
    """
    last = {(each.notice.subject, each.notice.episode): each for each in found}
    worst = sorted(last.values(), key=_badness)
    counted = by_severity(each.notice for each in found)
    ages = [each.age for each in found]
    shown = worst[:WORST_SHOWN]
    facts = [(each.notice.title, f"{length(each.age)} ago. {each.notice.text}") for each in shown]
    if len(worst) > len(shown):
        facts.append(("More", f"{len(worst) - len(shown)} others: `headrace alerts list`, `headrace models list`"))
    first = found[0].notice
    return Notice(
        subject=first.subject,
        episode=first.episode,
        state="late",
        severity=worst[0].notice.severity,
        title=f"[LATE] {len(found)} messages could not be told in time",
        text=f"{counted}; the oldest has waited for {length(max(ages))}, the newest for {length(min(ages))}. The worst:",
        facts=tuple(facts),
        kind="headrace.late-notices.v1",
        body={"count": len(found)},
    )


def length(age: timedelta) -> str:
    """A length of time for people: ``3 h 5 min``, ``2 d 4 h``."""
    minutes = max(1, int(age.total_seconds() // 60))
    hours, days = minutes // 60, minutes // (24 * 60)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _badness(each: Overdue) -> tuple[int, bool, timedelta]:
    """The worst first: by severity, what is not resolved, the newest."""
    return -SEVERITIES.index(each.notice.severity), each.notice.state == "resolved", each.age
