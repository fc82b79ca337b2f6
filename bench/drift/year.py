"""A year of flights through the real parts of headrace in one process: training runs, ONNX scores, both stages of monitoring.

Event time passes day by day. An alert of a kind that the definition retrains on, or its schedule, asks for a training run; a
candidate that is not much worse than the champion on its test block is champion from the next day on (a shadow's time is left out).
"""

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.drift.flights import FIRST_DAY, MIDNIGHT, SOURCE, Flights
from schemas.definitions import Model
from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import decode
from schemas.events.ingestion import Tick
from schemas.events.monitoring import Alert, ClosedWindow
from schemas.events.registry import DefinitionRecord, DeployedVersion, Deployment
from schemas.events.training import Candidate
from schemas.model_inputs import assemble
from schemas.topics import ALERTS, LABELS_VALIDATED, METRICS_WINDOWS, MONITORING_STATE, PREDICTIONS, Topic
from services.monitoring.joins import JoinStore
from services.monitoring.judging import Judging
from services.monitoring.knowledge import Knowledge
from services.monitoring.profiling import Profiling
from services.training.job import Job
from services.training.run import execute
from services.training.scoring import Scorer
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, TopicNames

NAMES: Final = TopicNames("b.")
WORSE: Final = 0.03  # roc_auc; as the definition's gate says
STANDING: Final = ("firing", "acknowledged")

Broken = Callable[[datetime, dict[str, Any]], dict[str, Any]]


@dataclass
class Happened:
    """What a year was like. ``champions``: the day each version took over, with the reason."""

    alerts: list[Alert] = field(default_factory=list)
    windows: list[ClosedWindow] = field(default_factory=list)
    champions: list[tuple[datetime, int, str, float | None]] = field(default_factory=list)
    state_bytes: int = 0

    def episodes(self) -> list[tuple[Alert, datetime | None]]:
        """The first firing alert of every episode, and when it was resolved."""
        first: dict[str, Alert] = {}
        ended: dict[str, datetime] = {}
        for alert in self.alerts:
            key = f"{alert.fingerprint}/{alert.episode}"
            if alert.state == "firing":
                first.setdefault(key, alert)
            elif alert.state == "resolved":
                ended[key] = alert.window.end
        return [(alert, ended.get(key)) for key, alert in first.items()]

    def estimates(self) -> Iterator[list[Any]]:
        """Start, metric, estimate, its interval, what was measured later, labelled rows, what was calibrated on: a row a champion's window."""
        first = {
            (window.lane, window.version, window.window.start): window
            for window in self.windows
            if window.revision == 1
        }
        for (lane, version, start), quality in first.items():
            if lane != "quality" or (served := first.get(("performance", version, start))) is None:
                continue
            measured = {row.channel: row.value for row in quality.channels}
            basis = next(row.statistic for row in served.channels if row.channel == "estimate:calibration")
            for row in served.channels:
                value = measured.get(f"quality:{row.statistic}")
                if row.channel == f"estimate:{row.statistic}" and row.value is not None and value is not None:
                    yield [
                        f"{start:%Y-%m-%d}",
                        row.statistic,
                        row.value,
                        row.low,
                        row.high,
                        value,
                        quality.labelled,
                        basis,
                    ]

    def document(self) -> dict[str, Any]:
        """As JSON: champions, episodes, each window's evidence by detector, and its estimated beside its measured quality."""
        return {
            "champions": [[f"{at:%Y-%m-%d}", version, reason, auc] for at, version, reason, auc in self.champions],
            "episodes": [
                {
                    "start": f"{alert.window.start:%Y-%m-%d}",
                    "end": f"{ended:%Y-%m-%d}" if ended else None,
                    "severity": alert.severity,
                    "kind": alert.kind,
                    "summary": alert.summary.partition(": ")[2],
                    "named": [item.channel for item in alert.evidence if not item.channel.startswith("evidence:")],
                }
                for alert, ended in self.episodes()
            ],
            "evidence": [
                [f"{window.window.start:%Y-%m-%d}", row.channel.partition(":")[2], row.value, row.threshold]
                for window in self.windows
                if window.revision == 1
                for row in window.channels
                if row.channel.startswith("evidence:")
            ],
            "estimates": list(self.estimates()),
            "state_bytes": self.state_bytes,
        }


class Year:
    """One run over ``flights``; ``broken`` may change features between the producer and the model."""

    def __init__(
        self, flights: Flights, directory: Path, broken: Broken | None = None, *, retrain: bool = True
    ) -> None:
        self.flights = flights
        self.happened = Happened()
        self._directory = directory
        self._broken = broken
        self._retrain = retrain
        self._knowledge = Knowledge()
        self._join = tempfile.TemporaryDirectory()
        store = JoinStore(Path(self._join.name) / "labels.sqlite")
        clock = FixedClock(MIDNIGHT)
        self._stage1 = Profiling(0, NAMES, self._knowledge, store, clock, lambda _: None)
        self._stage2 = Judging(1, self._knowledge, clock)
        self._offsets = {PREDICTIONS.name: 0, LABELS_VALIDATED.name: 0}
        self._state: dict[bytes, int] = {}
        self._told: set[str] = set()
        self._version = 0
        self._auc: float | None = None
        self._trained = MIDNIGHT

    def run(self, days: int) -> Happened:
        """The first ``days`` days from 1 March on."""
        for kind, definition in (("FeatureSet", self.flights.feature_set), ("Model", self.flights.model)):
            name, content = definition.metadata.name, definition.model_dump(mode="json", by_alias=True)
            self._knowledge.apply_definition(
                DefinitionRecord(kind=kind, name=name, major=1, revision=1, definition=content)  # type: ignore[arg-type]
            )
        self._train(MIDNIGHT + timedelta(days=FIRST_DAY), "first")
        labels = iter(self.flights.labels)
        waiting = next(labels, None)
        place = bisect_left(self.flights.times, self._trained)
        for day in range(FIRST_DAY, FIRST_DAY + days):
            end = MIDNIGHT + timedelta(days=day + 1)
            first = place
            while place < len(self.flights.times) and self.flights.times[place] < end:
                place += 1
            records = [*self._predictions(first, place), self._record(PREDICTIONS, _tick(end))]
            while waiting is not None and waiting[2] <= end:
                records.append(self._record(LABELS_VALIDATED, _label(self.flights.model, waiting)))
                waiting = next(labels, None)
            records.append(self._record(LABELS_VALIDATED, _tick(end)))
            self._monitor(records)
            self._decide(end)
        self.happened.state_bytes = sum(size for key, size in self._state.items() if key.startswith(b"verdicts/"))
        self._stage1.close()
        return self.happened

    # ---- the services, in turn

    def _predictions(self, first: int, last: int) -> Iterator[StoredRecord]:
        rows = self.flights.features[first:last]
        if self._broken is not None:
            rows = [self._broken(at, row) for at, row in zip(self.flights.times[first:last], rows, strict=True)]
        if not rows:
            return
        scores = self._scorer(assemble(self._candidate.inputs, self.flights.feature_set, rows))[:, 1].tolist()
        for offset, (row, score) in enumerate(zip(rows, scores, strict=True), start=first):
            at = self.flights.times[offset]
            body = {
                "prediction_id": self.flights.ids[offset],
                "event_id": self.flights.ids[offset],
                "event_source": SOURCE,
                "entity_id": "e",
                "feature_set": "flights@1",
                "model": self.flights.model.metadata.name,
                "version": self._version,
                "route": "champion",
                "status": "ok",
                "outputs": {"label": score > 0.5, "score": score, "probabilities": [1 - score, score]},
                "features": row,
                "occurred_at": at,
                "predicted_at": at,
                "timing": {"queue_ms": 1.0, "inference_ms": 0.1},
            }
            yield self._record(PREDICTIONS, ("headrace.prediction.v1", msgspec.json.encode(body)))

    def _monitor(self, records: list[StoredRecord]) -> None:
        published = self._kept(self._stage1.process(records))
        stored = [
            StoredRecord(NAMES.name(item.topic), 0, place, 0, item.key, item.value, list(item.headers))
            for place, item in enumerate(published)
        ]
        for item in self._kept(self._stage2.process(stored)):
            if item.topic is ALERTS:
                self.happened.alerts.append(decode(Alert, item.value or b""))
            elif item.topic is METRICS_WINDOWS:
                self.happened.windows.append(decode(ClosedWindow, item.value or b""))

    def _kept(self, outgoing: Any) -> list[Outgoing]:
        for item in outgoing:
            if item.topic is MONITORING_STATE:
                self._state[item.key] = len(item.value or b"")
        return [item for item in outgoing if item.topic is not MONITORING_STATE]

    def _decide(self, now: datetime) -> None:
        retraining = self.flights.model.spec.retraining
        if not self._retrain or now - self._trained < retraining.cooldown:
            return
        for alert, _ in reversed(self.happened.episodes()):
            last = [each for each in self.happened.alerts if each.episode == alert.episode][-1]
            kind = "drift" if alert.kind == "prediction_drift" else alert.kind
            if last.state in STANDING and kind in retraining.on and alert.episode not in self._told:
                self._told.add(alert.episode)
                self._train(now, alert.summary)
                return
        if retraining.schedule is not None and now - self._trained >= retraining.schedule:
            self._train(now, "schedule")

    def _train(self, now: datetime, reason: str) -> None:
        self._trained = now
        output = self._directory / f"run-{now:%m-%d}"
        job = Job(
            run_id=f"run-{now:%m-%d}",
            request_id="bench",
            model=self.flights.model.model_dump(mode="json", by_alias=True),
            feature_set=self.flights.feature_set.model_dump(mode="json", by_alias=True),
            as_of=now,
            overrides={},
            events=[str(self._directory / "events.parquet")],
            labels=[str(self._directory / "labels.parquet")],
            data_dir=str(self._directory),
            output_dir=str(output),
        )
        execute(job, lambda _: None, FixedClock(now))
        candidate = decode(Candidate, job.candidate_path.read_bytes())
        auc = candidate.metrics.get("roc_auc")
        if self._auc is not None and (auc or 0) < self._auc - WORSE:
            self.happened.champions.append((now, 0, f"refused: {reason}", auc))
            return
        self._version, self._auc, self._candidate = self._version + 1, auc, candidate
        self._scorer = Scorer(job.artifact_path.read_bytes())
        self._knowledge.apply_candidate(candidate)
        version = DeployedVersion(version=self._version, digest=candidate.digest)
        model = self.flights.model
        self._knowledge.apply_deployment(
            Deployment(
                model=model.metadata.name,
                feature_set=model.spec.feature_set,
                champion=version,
                revision=self._version,
                at=now,
            )
        )
        self.happened.champions.append((now, self._version, reason, auc))

    def _record(self, topic: Topic, content: tuple[str, bytes]) -> StoredRecord:
        kind, body = content
        offset = self._offsets[topic.name]
        self._offsets[topic.name] += 1
        headers = encode_headers(Envelope(id=f"{topic.name}-{offset}", source=SOURCE, type=kind))
        return StoredRecord(NAMES.name(topic), 0, offset, 0, b"k", body, headers)


def _tick(at: datetime) -> tuple[str, bytes]:
    return Tick.ce_type, msgspec.json.encode({"feature_set": "flights@1", "time": at})


def _label(model: Model, row: tuple[str, str, datetime, bool]) -> tuple[str, bytes]:
    identity, entity, at, value = row
    body = {
        "model": model.metadata.name,
        "event_id": identity,
        "event_source": SOURCE,
        "entity_id": entity,
        "observed_at": at,
        "value": value,
    }
    return "headrace.validated-label.v1", msgspec.json.encode(body)


def run(days: int, *, shuffle: int | None = None, broken: Broken | None = None) -> dict[str, Any]:
    """So many days from 1 March on."""
    with tempfile.TemporaryDirectory() as name:
        flights = Flights(Path(name), FIRST_DAY + days, shuffle)
        return Year(flights, Path(name), broken).run(days).document()
