"""When a run may begin: once the store holds what was known at the request's event time."""

from datetime import datetime, timedelta

from schemas.definitions import FeatureSet
from schemas.envelope import format_time
from schemas.events.training import TrainingRequest
from services.training.errors import RunError


def cutoff(
    request: TrainingRequest, feature_set: str, watermark: datetime | None, *, caught_up: bool, quiet: bool
) -> datetime | None:
    """The event time as of which to train; None: not yet.

    ``caught_up``: everything that stood on the topics at the request's arrival is in the store. ``quiet``: and nothing that
    the run could learn from has arrived for the settling time. Without as_of it is the watermark after catching up. With
    one, the watermark must reach it; without any tick it is taken as it is once all is quiet. Raises `RunError`
    (``no_watermark``, ``as_of_ahead``).
    """
    if request.as_of is not None:
        if watermark is not None and watermark < request.as_of and quiet:
            raise ahead(request.as_of, feature_set, watermark)
        reached = watermark is not None and watermark >= request.as_of
        return request.as_of if reached or quiet else None
    if caught_up and watermark is not None:
        return watermark
    if quiet:
        message = (
            f"No tick of {feature_set} has arrived in every partition, so event time is unknown and there is no cut-off. "
            "Send ticks (a replay does, and ingestion for live sets), or ask for a time: headrace train … --as-of TIME."
        )
        raise RunError("no_watermark", message)
    return None


def ahead(as_of: datetime, feature_set: str, watermark: datetime) -> RunError:
    """The refusal of a time that event time has not reached, where nothing is on its way that would advance it."""
    message = (
        f"as-of {format_time(as_of)} lies beyond event time {format_time(watermark)} of {feature_set}: replay more, or leave "
        "it out."
    )
    return RunError("as_of_ahead", message)


def check_reachable(
    request: TrainingRequest, feature_set: FeatureSet, watermark: datetime | None, now: datetime, seconds: float
) -> None:
    """Raise `RunError` (``as_of_ahead``) where event time follows the wall clock and cannot be there within ``seconds``."""
    live = feature_set.spec.clock == "live"
    if live and request.as_of is not None and request.as_of > now + timedelta(seconds=seconds):
        raise ahead(request.as_of, feature_set.ref, watermark or now)


def too_late(request: TrainingRequest, watermark: datetime | None, seconds: float) -> RunError:
    """The refusal when the store did not catch up in time."""
    wanted = format_time(request.as_of) if request.as_of else "the records that stood on the topics"
    present = format_time(watermark) if watermark else "no tick yet"
    message = (
        f"The data-set store did not reach {wanted} within {seconds:g} s (event time is at {present}). "
        "Check the lag of validation and training, then send the request again."
    )
    return RunError("store_behind", message)
