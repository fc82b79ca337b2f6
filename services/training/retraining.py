"""When a model asks for a new version of itself: an alert that stands, or its schedule, in event time; never in its cool-down.

Level-triggered: what counts is which alerts stand now and what was requested before, both folds of topics, so a restart
neither forgets nor repeats a request. Identities follow from the cause: one request per alert episode and schedule slot.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from schemas.definitions import Model
from schemas.envelope import format_time
from schemas.events.monitoring import Alert
from schemas.events.training import TrainingRequest
from schemas.identities import derived_id
from services.training.ledger import Ledger

Cause = Literal["quality", "drift", "kpi"]
REQUESTER: Final = "headrace/training"
CAUSES: Final[dict[str, Cause]] = {"quality": "quality", "drift": "drift", "prediction_drift": "drift", "kpi": "kpi"}
STANDING: Final = frozenset({"firing", "acknowledged"})  # acknowledged: someone looks at it, it has not gone away


def due(
    model: Model, alerts: Iterable[Alert], ledger: Ledger, watermark: datetime | None, now: datetime
) -> TrainingRequest | None:
    """The request that ``model`` is to make now, if any. ``watermark`` is its feature set's; ``now`` the wall clock."""
    name = model.metadata.name
    if model.spec.recipe is None or ledger.busy(name):
        return None
    return _by_alert(model, alerts, ledger, watermark, now) or _by_schedule(model, ledger, watermark, now)


def _by_alert(
    model: Model, alerts: Iterable[Alert], ledger: Ledger, watermark: datetime | None, now: datetime
) -> TrainingRequest | None:
    for alert in sorted(alerts, key=lambda each: (each.started_at, each.fingerprint)):
        cause = CAUSES.get(alert.kind)
        if alert.model != model.metadata.name or alert.state not in STANDING or cause not in model.spec.retraining.on:
            continue
        request_id = derived_id("retrain", alert.fingerprint, alert.episode)
        as_of = max(watermark or alert.window.end, alert.window.end)
        if ledger.known(request_id) or _cooling(model, ledger, as_of):
            continue
        return TrainingRequest(
            request_id=request_id,
            model=model.metadata.name,
            reason=cause,
            detail=alert.summary,
            requested_by=REQUESTER,
            requested_at=now,
            as_of=as_of,
            alert_fingerprint=alert.fingerprint,
            episode=alert.episode,
        )
    return None


def _by_schedule(model: Model, ledger: Ledger, watermark: datetime | None, now: datetime) -> TrainingRequest | None:
    """Slots are whole periods after the last training; of several that have passed only the latest is asked for.

    A model that was never trained has no slots: people ask for the first version.
    """
    every, last = model.spec.retraining.schedule, ledger.last_cutoff(model.metadata.name)
    if every is None or not every or last is None or watermark is None or watermark - last < every:
        return None
    slot = last + every * ((watermark - last) // every)
    request_id = derived_id("schedule", model.metadata.name, format_time(slot))
    if ledger.known(request_id) or _cooling(model, ledger, slot):
        return None
    return TrainingRequest(
        request_id=request_id,
        model=model.metadata.name,
        reason="schedule",
        detail=f"slot {format_time(slot)}",
        requested_by=REQUESTER,
        requested_at=now,
        as_of=slot,
    )


def _cooling(model: Model, ledger: Ledger, at: datetime) -> bool:
    last = ledger.last_cutoff(model.metadata.name)
    return last is not None and at - last < model.spec.retraining.cooldown
