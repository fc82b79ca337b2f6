"""Inference's metrics. Labels are bounded: series of versions that are not served any more are removed."""

from typing import Final

from services.inference.errors import ScoringError
from services.inference.scoring import Scored
from services.inference.serving_plan import ServingPlan, Slot
from shared import metrics

predictions: Final = metrics.counter(
    "headrace_predictions",
    "Predictions made, before their transaction is committed.",
    unit="predictions",
    labels=("model", "version", "route", "status"),
)
run_seconds: Final = metrics.histogram(
    "headrace_inference_seconds",
    "Time in the model per batch and slot, isolation of failing rows included.",
    unit="seconds",
    labels=("model", "route"),
)
run_records: Final = metrics.histogram(
    "headrace_inference_batch_records",
    "Events that one slot answered in one batch.",
    unit="records",
    labels=("model", "route"),
    buckets=metrics.RECORDS,
)
isolation_runs: Final = metrics.counter(
    "headrace_inference_isolation_runs", "Extra runs to find rows that fail.", unit="runs", labels=("model", "route")
)
model_info: Final = metrics.gauge(
    "headrace_model_info",
    "1 for each version that is served now.",
    unit="1",
    labels=("model", "version", "route", "digest"),
)
swaps: Final = metrics.counter("headrace_model_swaps", "Serving plans put in force.", unit="plans")
refusals: Final = metrics.counter(
    "headrace_model_refusals", "Deployed versions that were refused.", unit="versions", labels=("model", "code")
)


class ServingMetrics:
    """Observes scoring and swaps; implements `services.inference.partition_scoring.Observer`."""

    def __init__(self) -> None:
        self._served: set[tuple[str, str, str, str]] = set()

    def scored(self, scored: Scored) -> None:
        """One slot answered one batch."""
        slot = scored.slot
        failed = sum(isinstance(answer, ScoringError) for answer in scored.answers)
        for status, count in (("ok", len(scored.answers) - failed), ("failed", failed)):
            if count:
                predictions.labels(slot.model, str(slot.version), slot.route, status).inc(count)
        run_seconds.labels(slot.model, slot.route).observe(scored.seconds)
        run_records.labels(slot.model, slot.route).observe(len(scored.answers))
        if scored.runs > 1:
            isolation_runs.labels(slot.model, slot.route).inc(scored.runs - 1)

    def in_force(self, plan: ServingPlan) -> None:
        """``plan`` is served from now on."""
        swaps.inc()
        served = {_labels(slot) for model in plan.models.values() for slot in model.slots}
        for labels in self._served - served:
            model_info.remove(*labels)
            for status in ("ok", "failed"):
                predictions.remove(*labels[:3], status)
        for labels in served:
            model_info.labels(*labels).set(1)
        self._served = served


def _labels(slot: Slot) -> tuple[str, str, str, str]:
    return slot.model, str(slot.version), slot.route, slot.loaded.digest[:12]
