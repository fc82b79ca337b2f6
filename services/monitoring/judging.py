"""Stage 2: the profiles of all partitions become closed windows and alerts. One process of all is active."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from schemas.envelope import header
from schemas.events.monitoring import Alert, AlertCommand, ChannelResult, ClosedWindow, Comparison, Profile, Progress
from schemas.reasons import RefusedRecordError
from services.monitoring import estimates, verdicts
from services.monitoring.alerting import Memory, command, end_unwatched, observe
from services.monitoring.artifacts import THROUGHPUT, Artifact
from services.monitoring.book import Book, Page, Part, Window, labelled, past_errors
from services.monitoring.calibration import WINDOWS as CALIBRATED_ON
from services.monitoring.calibration import calibration_of
from services.monitoring.checkpoints import VERDICTS, Checkpoint, under
from services.monitoring.comparing import Comparisons
from services.monitoring.entries import Entry
from services.monitoring.history import Histories
from services.monitoring.judgement import Case, judge, remembered
from services.monitoring.knowledge import Knowledge, Series, Watched
from services.monitoring.observations import observations
from services.monitoring.past_errors import KEPT as KEPT_ERRORS
from services.monitoring.past_errors import errors_of
from services.monitoring.publications import alert_message, window_message
from services.monitoring.quality import LABELLED
from services.monitoring.quality import ROWS as QUALITY_ROWS
from services.monitoring.service_levels import known_traffic
from services.monitoring.standing import Standings
from services.monitoring.tallies import Tally, significant
from services.monitoring.unwatched import unwatched
from services.monitoring.uplift import uplifts
from services.monitoring.windows import micros, moment
from shared.clock import Clock
from shared.dead_letters import code_of, dead_letter
from shared.records import Outgoing, Record, read

PARTITION: Final = 0
LONGEST_SILENCE: Final = 60  # windows without rows that are opened when event time jumps


class Judging:
    """The state of the second stage. A `shared.transactions.PartitionProcessor`."""

    def __init__(self, partitions: int, knowledge: Knowledge, clock: Clock, p99_limit_ms: float | None = None) -> None:
        """Empty; `restore` fills it. ``partitions`` must all report before a window is final."""
        self._knowledge = knowledge
        self._clock = clock
        self._p99_limit_ms = p99_limit_ms
        self._book = Book(partitions)
        self._checkpoint = Checkpoint(PARTITION, VERDICTS)
        self._histories = Histories(self._checkpoint)
        self._standings = Standings(self._checkpoint)
        self._comparisons = Comparisons(self._checkpoint)
        self._memories: dict[str, Memory] = {}
        self._outgoing: list[Outgoing] = []

    def restore(self, entries: dict[str, dict[str, Any]]) -> None:
        """Take over the checkpoint."""
        for key in entries:
            self._checkpoint.restored(key)
        for content in under(entries, "page").values():
            page = Page.restored(content)
            self._book.pages[page.window] = page
            if page.digest is not None:
                self._knowledge.remember(page.window.model, page.window.version, page.digest)
        for key, content in under(entries, "part").items():
            of = self._book.pages.get(Window(*content["window"]))
            if of is None:  # a crash came between the part and its page, or between the page's end and the part's
                self._checkpoint.delete(f"part/{key}")
            else:
                of.parts[content["partition"]] = Part.restored(content["part"])
        for content in under(entries, "progress").values():
            for partition, watermark in content["watermarks"].items():
                self._book.advance(content["feature_set"], int(partition), watermark)
        for fingerprint, content in under(entries, "alert").items():
            self._memories[fingerprint] = Memory.restored(content)
        self._histories.restore(under(entries, "history"))
        self._standings.restore(under(entries, "standing"))
        self._comparisons.restore(under(entries, "rivalry"))

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Windows, alerts and the checkpoint that follow from ``records``."""
        self._outgoing = []
        for record in records:
            try:
                self._take(record)
            except (RefusedRecordError, KeyError, TypeError, ValueError) as error:
                text = str(error) or type(error).__name__
                self._outgoing.append(
                    dead_letter(record, service="monitoring", code=code_of(error), message=text, clock=self._clock)
                )
        return [*self._outgoing, *self._checkpoint.changes()]

    def close(self) -> None:
        """Nothing to let go of."""

    # ---- records in

    def _take(self, record: Record) -> None:
        kind = header(record.headers, "ce_type")
        if kind == Progress.ce_type:
            _, progress = read(Progress, record)
            self._advance(progress.feature_set, progress.partition, micros(progress.watermark))
        elif kind == AlertCommand.ce_type:
            _, order = read(AlertCommand, record)
            self._remember(order.fingerprint, *command(self._memories.get(order.fingerprint, Memory()), order))
        else:
            _, profile = read(Profile, record)
            self._report(profile)

    def _report(self, profile: Profile) -> None:
        page = self._book.report(profile)
        if page is None:
            return
        self._keep(page)
        part = page.parts[profile.partition]
        self._checkpoint.put(
            f"part/{page.window}/{profile.partition}",
            lambda: {"window": list(page.window), "partition": profile.partition, "part": part.content()},
        )
        if page.published or (page.window.lane == "quality" and self._book.quality_ready(page)):
            self._publish([page])

    def _advance(self, feature_set: str, partition: int, watermark: int) -> None:
        before = self._book.watermark(feature_set)
        self._book.advance(feature_set, partition, watermark)
        marks = self._book.progress[feature_set]
        self._checkpoint.put(
            f"progress/{feature_set}",
            lambda: {"feature_set": feature_set, "watermarks": {str(p): w for p, w in marks.items()}},
        )
        now = self._book.watermark(feature_set)
        if now is None or now == before:
            return
        if before is not None:
            self._open_silent(feature_set, before, now)
        closing = self._book.closing(feature_set, now)
        self._publish(closing)
        labels = [self._book.pages.get(page.window.labels) for page in closing]
        self._publish([page for page in labels if page is not None and self._book.quality_ready(page)])
        for page in self._book.outdated(feature_set, now):
            self._forget(page)

    def _open_silent(self, feature_set: str, before: int, now: int) -> None:
        """Windows that close between ``before`` and ``now`` and in which a champion with known traffic served nothing at all."""
        for name in self._knowledge.models_of(feature_set):
            watched, version = self._knowledge.watched(name), self._knowledge.champion(name)
            if watched is None or version is None or not watched.policy.every:
                continue
            series = Series(name, version, "champion")
            for start in watched.policy.closing(before, now)[-LONGEST_SILENCE:]:
                page = Page.empty(Entry.opened(series, start, feature_set, watched.policy))
                if known_traffic(self._histories.of(page.window).of(THROUGHPUT).tolist()) and not self._book.served(
                    page.window
                ):
                    page.digest = self._knowledge.digest(name, version)
                    self._book.pages[page.window] = page

    def _forget(self, page: Page) -> None:
        del self._book.pages[page.window]
        self._checkpoint.delete(f"page/{page.window}")
        for partition in page.parts:
            self._checkpoint.delete(f"part/{page.window}/{partition}")

    # ---- verdicts

    def _publish(self, pages: Sequence[Page]) -> None:
        """Publish windows, and let those that are published for the first time speak to the alerts.

        Where two versions served in one window, the newer one speaks, if it has enough rows to say anything; else the one
        that has more.
        """
        for page in pages:
            closed = self._close(page)
            if closed is not None and closed.revision == 1 and self._book.speaker(page.window) == page.window.version:
                self._alert(closed)

    def _alert(self, closed: ClosedWindow) -> None:
        """A storm is not told twice: what follows from an active alert has none of its own."""
        for seen in observations(closed):
            memory = self._memories.get(seen.fingerprint)
            explained = any(self._memories.get(cause, Memory()).explains for cause in seen.causes)
            if explained or (memory is None and not seen.channels):
                continue
            found, alert = observe(memory or Memory(), seen)
            if found is not memory:
                self._remember(seen.fingerprint, found, alert)
        if closed.route == "champion":
            self._end_unwatched(closed)

    def _end_unwatched(self, closed: ClosedWindow) -> None:
        """End the alerts about what the model's definition does not have any more: no window will calm them."""
        watched = self._knowledge.watched(closed.model)
        if watched is None:
            return
        for fingerprint, memory in list(self._memories.items()):
            if memory.alert is None or not unwatched(memory.alert, closed, watched.definition):
                continue
            found, alert = end_unwatched(memory, closed.window, closed.closed_at)
            if alert is not None:
                self._remember(fingerprint, found, alert)

    def _close(self, page: Page) -> ClosedWindow | None:
        watched = self._knowledge.watched(page.window.model)
        if watched is None:
            return None
        tally, artifact = page.tally(), self._knowledge.artifact(page.digest)
        history = self._histories.of(page.window)
        seconds = (page.end - page.window.start) / 1e6
        channels: list[ChannelResult]
        if page.window.lane == "performance":
            channels = verdicts.performance(tally, seconds, watched, artifact, history, self._p99_limit_ms)
            change = self._histories.change(page.window) if page.window.route == "champion" else None
            channels += [] if change is None else uplifts(watched, channels, change, page.window.start)
            channels += self._estimates(page, tally, watched, artifact)
        else:
            channels = verdicts.labelled_quality(tally, watched, artifact, history)
            served = self._book.pages.get(page.window.predictions)
            if served is not None:
                told = estimates.errors(served.estimates, channels)
                page.errors = errors_of(told, served.variances, tally)
                channels += told
        page.published += 1
        self._keep(page)
        comparisons: tuple[Comparison, ...] = ()
        if page.published == 1:
            channels = self._judge(Case(page.window, tally, watched, artifact, history), channels)
            if page.window.lane == "quality":
                comparisons = self._comparisons.add(page, self._book, watched)
        closed = _closed(page, tally, channels, moment(page.closed_at), comparisons)
        self._outgoing.append(window_message(closed))
        return closed

    def _estimates(self, page: Page, tally: Tally, watched: Watched, artifact: Artifact | None) -> list[ChannelResult]:
        """What quality probably is; the first that was said is kept, to be compared with what it turns out to be."""
        target, version = watched.definition.spec.target.type, page.window.version
        if not estimates.METRICS[target]:
            return []
        due = self._book.due(page)
        calibration = calibration_of(target, labelled(due, version, CALIBRATED_ON), artifact)
        expected = estimates.expectations(target, tally, calibration)
        if not page.published:
            page.estimates = {name: significant(metric.value) for name, metric in expected.items()}
            page.variances = {name: significant(metric.variance) for name, metric in expected.items()}
        return estimates.estimates(target, expected, calibration, past_errors(due, version, KEPT_ERRORS))

    def _judge(self, case: Case, measured: list[ChannelResult]) -> list[ChannelResult]:
        """What the lanes add to a window that is published for the first time; a correction moves no evidence."""
        standing = self._standings.before(case.window)
        channels = judge(case, measured, standing)
        self._standings.add(case.window, standing)
        self._histories.add(case.window, remembered(case, channels, standing))
        return channels

    # ---- records out

    def _keep(self, page: Page) -> None:
        self._checkpoint.put(f"page/{page.window}", page.content)

    def _remember(self, fingerprint: str, memory: Memory, alert: Alert | None) -> None:
        self._memories[fingerprint] = memory
        self._checkpoint.put(f"alert/{fingerprint}", self._memories[fingerprint].content)
        if alert is not None:
            self._outgoing.append(alert_message(alert))


def _closed(
    page: Page, tally: Tally, channels: Sequence[ChannelResult], at: datetime, comparisons: tuple[Comparison, ...]
) -> ClosedWindow:
    quality = page.window.lane == "quality"
    rows = tally.total(QUALITY_ROWS) if quality else tally.total("rows")
    return ClosedWindow(
        model=page.window.model,
        version=page.window.version,
        route=page.window.route,
        lane=page.window.lane,
        window=page.bounds,
        revision=page.published,
        rows=rows,
        failed=tally.total("failed"),
        labelled=tally.total(LABELLED) if quality else None,
        never_labelled=rows - tally.total(LABELLED) if quality else None,
        channels=tuple(channels),
        closed_at=at,
        comparisons=comparisons,
    )
