"""Monitoring: closed windows, alerts and the commands on them, profiles and checkpoints."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.events.contract import Contract, Identifier, ModelName, Time
from schemas.events.inference import Route

Severity = Literal["page", "warn", "inform"]
AlertState = Literal["pending", "firing", "acknowledged", "resolved"]
Method = Literal["calibrated", "gross", "anchor"]
AlertKind = Literal["drift", "prediction_drift", "quality", "latency", "errors", "throughput", "kpi", "missing_labels"]


class WindowBounds(Contract):
    """Event time, start inclusive, end exclusive."""

    start: Time
    end: Time


class ChannelResult(Contract):
    """One statistic of one channel in one window; ``alarming`` is the verdict of the ``method``, which is a plain limit if None.

    ``evidence`` is the base-10 logarithm of an e-value: how much the windows up to this one speak against "nothing has changed".
    Rows called ``evidence:…`` are those of whole groups of channels; their ``threshold`` is the budget of false alarms.
    ``low`` and ``high``: between what the value may truly lie, at the confidence that an alarm asks for. Rows called ``estimate:…`` say what
    quality probably is before labels come; theirs hold 95 % of what chance in the labels does, and of how wrong past estimates were where the
    ``statistic`` of ``estimate_interval:…`` says so. Concept drift is beyond them.
    """

    channel: str  # e.g. location:temp, unseen:carrier, prediction:scale, latency:p95, quality:roc_auc, kpi:warned_share
    statistic: str  # e.g. mean_score, psi, ms, roc_auc, share
    value: float | None
    threshold: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    effect: float | None = None
    alarming: bool = False
    method: Method | None = None
    evidence: float | None = None
    low: float | None = None
    high: float | None = None


class Comparison(Contract):
    """Champion against challenger in one metric, over all windows that both have up to this one.

    ``estimate`` is the mean over windows of how much better the challenger was, in the metric's unit; positive is better, whichever
    way the metric goes. ``lower`` and ``upper`` hold the true mean at every look with probability 1 - ``alpha``, so one may look at
    each window and stop at any (anytime-valid); None while there are too few windows to say.
    """

    champion: int
    challenger: int
    route: Literal["canary", "shadow"]
    metric: str  # as in the channels quality:…
    windows: int
    events: int  # labelled ones of these windows: pairs of a shadow, else of the side that has fewer
    estimate: float
    lower: float | None
    upper: float | None
    alpha: float


class ClosedWindow(Contract):
    """Everything monitoring says of one window of one model, version and route.

    ``lane`` performance: closed by the watermark. ``lane`` quality: closed once enough labels are there or the label time-out is
    over. A correction repeats the window with a higher ``revision``. ``comparisons`` stand in the quality window of champion or
    challenger that came later of the two, in its first revision.
    """

    ce_type: ClassVar[str] = "headrace.window.v1"

    model: ModelName
    version: int
    route: Route
    lane: Literal["performance", "quality"]
    window: WindowBounds
    revision: int = 1
    rows: int
    failed: int = 0
    labelled: int | None = None
    never_labelled: int | None = None
    channels: tuple[ChannelResult, ...]
    closed_at: Time  # event time: the watermark that closed it
    comparisons: tuple[Comparison, ...] = ()


class Evidence(Contract):
    """The numbers behind an alert."""

    channel: str
    statistic: str
    value: float | None
    threshold: float | None
    effect: float | None = None


class Alert(Contract):
    """One state of an alert's life. ``fingerprint`` is what it is about, ``episode`` which time.

    ``flapping``: it has fired and resolved so often lately that this episode stays firing until it is calm for long.
    """

    ce_type: ClassVar[str] = "headrace.alert.v1"

    fingerprint: Identifier
    model: ModelName
    version: int | None
    kind: AlertKind
    severity: Severity
    state: AlertState
    episode: str
    summary: str
    evidence: tuple[Evidence, ...]
    window: WindowBounds
    started_at: Time
    updated_at: Time
    silenced_until: Time | None = None
    acknowledged_by: str | None = None
    runbook: str = ""
    flapping: bool = False


class AlertCommand(Contract):
    """Acknowledge or silence an alert."""

    ce_type: ClassVar[str] = "headrace.alert-command.v1"

    command_id: Identifier
    fingerprint: Identifier
    action: Literal["acknowledge", "silence"]
    until: Time | None = None
    actor: Annotated[str, Field(min_length=1, max_length=100)]
    reason: str = ""
    issued_at: Time


class Profile(Contract):
    """A partition's share of a window: cumulative and revisioned, so that a later one replaces an earlier one."""

    ce_type: ClassVar[str] = "headrace.profile.v1"

    model: ModelName
    version: int
    route: Route
    partition: int
    lane: Literal["performance", "quality"] = "performance"
    window: WindowBounds
    revision: int
    complete: bool  # the partition's watermark has passed the window's end and lateness
    content: dict[str, Any]


class MonitoringState(Contract):
    """A checkpoint; its content belongs to monitoring alone."""

    ce_type: ClassVar[str] = "headrace.monitoring-state.v1"

    content: dict[str, Any]


class Progress(Contract):
    """A partition's event time has reached ``watermark`` for this feature set.

    Every window of the feature set that closes by then has been reported by a `Profile` before this record, or holds no rows of
    the partition.
    """

    ce_type: ClassVar[str] = "headrace.monitoring-progress.v1"

    feature_set: str
    partition: int
    watermark: Time
