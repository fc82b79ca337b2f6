"""Many alerts at once are a storm: when there is one, and the one message that tells of it. Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from services.notifier.notices import BRIEF, SEVERITIES, Notice, by_severity

WORST_SHOWN: Final = 8
MODELS_NAMED: Final = 3
KIND: Final = "headrace.alert-storm.v1"
LISTED_BY: Final = "headrace alerts list"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The notice of a record that stands on the topic of alerts; ``appended`` by the broker, epoch milliseconds."""

    offset: int
    appended: int
    notice: Notice


class Density:
    """How many alerts were appended close to each other."""

    def __init__(self, threshold: int, window: timedelta) -> None:
        """``threshold`` alerts within ``window`` are a storm."""
        self._threshold = threshold
        self._window = int(window.total_seconds() * 1000)
        self._passed: deque[int] = deque(maxlen=threshold)  # when the last ones were appended

    def passed(self, appended: int) -> None:
        """An alert's turn has come, whether or not there is anybody left to tell."""
        self._passed.append(appended)

    def storm(self, appended: int, behind: Iterable[Waiting]) -> bool:
        """Whether the alert that ``passed`` last stands in a storm, seen from what came before it and what waits ``behind``."""
        before = sum(each >= appended - self._window for each in self._passed)
        return before + sum(each.appended <= appended + self._window for each in behind) >= self._threshold


def loudness(notices: Iterable[Notice]) -> int:
    """The loudest of ``notices`` that is not over, as its place in `SEVERITIES`; -1 of none."""
    return max((SEVERITIES.index(each.severity) for each in notices if each.state != "resolved"), default=-1)


def of_storm(notices: Sequence[Notice]) -> Notice:
    """One notice for all of ``notices``, alerts in their order: how many of what, the worst of them, how to list the rest.

    Of an alert that changed meanwhile the latest state counts. The body has a row for each of ``notices``, for programs.
    """
    latest = list({(each.subject, each.episode): each for each in notices}.values())[::-1]
    worst = sorted(latest, key=_badness)
    over = all(each.state == "resolved" for each in latest)
    count = f"{len(latest):,} alert" + ("s" if len(latest) > 1 else "")
    shown = worst[:WORST_SHOWN]
    facts = [(each.title, each.text) for each in shown]
    if len(worst) > len(shown):
        facts.append(("More", f"{len(worst) - len(shown):,} others: `{LISTED_BY}{' --all' if over else ''}`"))
    states, kinds, models = (_counts(latest, name) for name in ("state", "kind", "model"))
    return Notice(
        subject=notices[0].subject,
        episode=notices[0].episode,
        state="resolved" if over else "firing",
        severity=worst[0].severity,
        title=f"[RESOLVED] {count} of a storm" if over else f"[STORM] {count} at once",
        text=(
            f"{by_severity(latest)}. States: {_listed(states)}. Kinds: {_listed(kinds)}. Models: {_named(models)}. "
            f"List them all: `{LISTED_BY}{' --all' if over else ''}`. The worst:"
        ),
        facts=tuple(facts),
        kind=KIND,
        body={"count": len(latest), "states": states, "kinds": kinds, "alerts": [_row(each) for each in notices]},
    )


def _row(notice: Notice) -> dict[str, Any]:
    return {name: notice.body[name] for name in BRIEF}


def _counts(notices: Sequence[Notice], name: str) -> dict[str, int]:
    """How many there are of each value, the most frequent first."""
    counts = Counter(str(each.body[name]) for each in notices)
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())


def _named(models: dict[str, int]) -> str:
    """``a (20), b (3) and 7 more``."""
    names = ", ".join(f"{name} ({count:,})" for name, count in list(models.items())[:MODELS_NAMED])
    more = len(models) - MODELS_NAMED
    return names + (f" and {more:,} more" if more > 0 else "")


def _badness(notice: Notice) -> tuple[int, bool]:
    """The worst first: by severity, then what is not resolved; of equals the newest, if the newest came first."""
    return -SEVERITIES.index(notice.severity), notice.state == "resolved"
