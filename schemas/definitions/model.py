"""The Model definition: what is learned from which features, how it is judged, rolled out, watched and retrained."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schemas.definitions.feature_set import located, refuse_repeated
from schemas.definitions.metadata import (
    API_VERSION,
    ESTIMATOR,
    FEATURE_SET_REF,
    MEASURE,
    Duration,
    FieldName,
    Metadata,
    Strict,
    like,
)

Share = Annotated[float, Field(gt=0, lt=1)]


class TargetType(StrEnum):
    """What kind of value a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class LabelDelay(Strict):
    """When labels are expected after the prediction, and when we stop waiting. Event time."""

    expected: Annotated[Duration, like("6h")] = timedelta(hours=1)
    """How long after the prediction a label is expected."""
    timeout: Annotated[Duration, like("3d")] = timedelta(days=3)
    """When nobody waits for a label any more; at least ``expected``."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.timeout < self.expected:
            raise located("timeout", "shorter than the expected delay")
        return self


class Target(Strict):
    """What is predicted. ``name`` is the label's name in data sets."""

    name: Annotated[FieldName, like("late")]
    """The label's name in data sets; no feature may have it."""
    type: Annotated[TargetType, like("binary")]
    """What kind of value it is: one of two classes, one of several, or a number."""
    label: Annotated[LabelDelay, like({"expected": "6h", "timeout": "3d"})] = LabelDelay()
    """When the truth is known."""


class Recipe(Strict):
    """An estimator of the training service's whitelist, its parameters, and a search grid (name → list of values)."""

    estimator: Annotated[str, like("HistGradientBoostingClassifier", pattern=ESTIMATOR)]
    """One of the estimators below, or an entry point of an installed package, with a dot in its name."""
    parameters: Annotated[dict[str, Any], like({"max_iter": 60})] = {}
    """Parameters of the estimator by name."""
    search: Annotated[dict[str, list[Any]], like({"max_leaf_nodes": [15, 31]})] = {}
    """Parameters to choose on the validation block, each with the values to try; at most 64 combinations."""


class Split(Strict):
    """Forward split: the last ``test`` share of rows in time is for evaluation, the ``validation`` share before it for tuning."""

    strategy: Annotated[Literal["forward"], like("forward")] = "forward"
    """Forward in time is the only one, since a random split leaks the future."""
    validation: Annotated[Share, like(0.2)] = 0.2
    """Share of the rows to choose parameters on."""
    test: Annotated[Share, like(0.2)] = 0.2
    """Share of the rows that gates are judged on, the latest in time."""

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> Self:
        if self.validation + self.test >= 0.9:  # noqa: PLR2004 - at least a tenth of the rows must be left to learn from
            raise located("validation", "validation and test together leave less than a tenth of the rows to train on")
        return self


class Dataset(Strict):
    """Which records make a data set: the last ``window`` of event time before the cut-off."""

    window: Annotated[Duration, like("60d")] = timedelta(days=90)
    """How far back events are taken; longer than ``target.label.expected``, or no row would have its label."""
    split: Annotated[Split, like({"validation": 0.1, "test": 0.2})] = Split()
    """How rows are divided."""
    seed: Annotated[int, like(7, ge=0, lt=2**31)] = 7
    """Makes a run repeatable."""
    minimum_rows: Annotated[int, like(1000, alias="minimumRows", ge=10)] = 100
    """Fewer labelled rows are refused as too few to learn from."""


class Gate(Strict):
    """A bound that a candidate's metric must keep, absolute (``min``/``max``) or relative to the champion's (``minDelta``)."""

    metric: Annotated[str, like("roc_auc", pattern=MEASURE)]
    """One of the metrics below."""
    min: Annotated[float | None, like(0.7)] = None
    """The metric must be at least this."""
    max: Annotated[float | None, like(0.2)] = None
    """The metric must be at most this."""
    against: Annotated[Literal["champion"] | None, like("champion")] = None
    """Compares with the champion, by ``minDelta``; holds while there is none."""
    min_delta: Annotated[float | None, like(-0.005, alias="minDelta")] = None
    """How much better than the champion it must be, whichever way is better; negative: how much worse is tolerated."""
    group: Annotated[FieldName | None, like("city")] = None
    """Measures the metric between or within the groups of this feature; the ``max`` of a gap also bounds it in monitored windows."""

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if (self.against is None) != (self.min_delta is None):
            raise located("against", "against and minDelta belong together")
        if self.min is None and self.max is None and self.min_delta is None:
            raise located("metric", "a gate needs min, max, or against with minDelta")
        for bound in (self.min, self.max, self.min_delta):
            if bound is not None and bound != bound:  # noqa: PLR0124 - NaN
                raise located("metric", "a bound is not a number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise located("min", "lower bound above upper")
        return self


class Approval(Strict):
    """Who lets a version go live: people, or the gates alone."""

    mode: Annotated[Literal["manual", "automatic"], like("automatic")] = "manual"
    """Whether people approve versions that have passed their gates, or the gates suffice."""
    approvers: Annotated[int, like(2, ge=1, le=10)] = 1
    """How many different people must approve; of ``manual``."""


class Rollout(Strict):
    """How an approved version reaches traffic: at once, beside the champion unseen, or for a share of entities."""

    strategy: Annotated[Literal["direct", "shadow", "canary"], like("shadow")] = "direct"
    """At once; beside the champion without being asked; or for a share of the entities."""
    share: Annotated[Share, like(0.1)] = 0.1
    """Share of entities that a canary answers."""
    min_windows: Annotated[int, like(2, alias="minWindows", ge=1, le=10_000)] = 5
    """How many shared quality windows a shadow or canary needs before it is promoted or stopped; ended undecided after four times as
    many. From 3 on bounds that hold at every look decide, below that means."""


class Window(Strict):
    """Monitoring windows: by event time (``every``, ``lateness``) or by ``rows``."""

    every: Annotated[Duration | None, like("1d")] = None
    """Length of a window in event time, from a second."""
    lateness: Annotated[Duration, like("1h")] = timedelta(0)
    """How long a window stays open for late events; at most ``target.label.timeout``."""
    rows: Annotated[int | None, like(1000, ge=50, le=10_000_000)] = None
    """Reserved: windows counted in rows are refused until they are monitored."""

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.every is None) == (self.rows is None):
            raise located("every", "a window has either every (event time) or rows")
        if self.rows is not None:
            raise located("rows", "windows counted in rows are not monitored yet; give every, a length in event time")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise located("every", "shorter than a second")
        return self


class FalseAlarms(Strict):
    """At most one false alarm in this many windows, per severity: what all detectors of a severity share."""

    page: Annotated[int, like(365, ge=2)] = 365
    """For alerts that wake somebody: quality, KPIs, failures, broken inputs and predictions."""
    warn: Annotated[int, like(90, ge=2)] = 90
    """For alerts to look at during the day: predictions, label rates, latency, throughput, missing labels."""
    inform: Annotated[int, like(30, ge=2)] = 30
    """For alerts to know about: features."""


class Monitoring(Strict):
    """How a model is watched."""

    window: Annotated[Window, like({"every": "1d", "lateness": "1h"})] = Window(every=timedelta(days=1))
    """What is judged at once."""
    seasonality: Annotated[tuple[Literal["hour", "weekday"], ...], like(["weekday"])] = ()
    """What differs by hour of the day or day of the week (UTC) is then no change; give it where traffic or inputs have such a rhythm."""
    false_alarms: Annotated[FalseAlarms, like({"page": 365}, alias="falseAlarms")] = FalseAlarms()
    """How rare false alarms must be: the average time between two of them, in windows, while nothing changes."""
    groups: Annotated[tuple[FieldName, ...], like(["city"])] = ()
    """Features by whose groups metrics, gaps and representation are measured, in training and in windows; categories, strings or booleans."""


class Kpi(Strict):
    """A business figure per window: SQL aggregate (sum, count, avg, ratios) over score, label, value and features."""

    name: Annotated[str, like("warned_share", pattern=MEASURE)]
    """What alerts and windows call it."""
    expression: Annotated[str, like("avg(cast(score > 0.5 as int))", min_length=1, max_length=1000)]
    """Arithmetic over sum, count and avg; see below."""
    min: Annotated[float | None, like(0.05)] = None
    """An alert is raised below it."""
    max: Annotated[float | None, like(0.4)] = None
    """An alert is raised above it."""


class Retraining(Strict):
    """What asks for a new version: alerts of these kinds, or a schedule in event time; never within ``cooldown``."""

    on: Annotated[tuple[Literal["quality", "drift", "kpi"], ...], like(["quality", "drift"])] = ()
    """Kinds of alerts that ask for a new version; drift covers the predictions' drift, kpi needs a KPI with a bound."""
    schedule: Annotated[Duration | None, like("30d")] = None
    """Asks for a new version so long after the last."""
    cooldown: Annotated[Duration, like("7d")] = timedelta(days=1)
    """Never ask again within this time of the last training."""


class ModelSpec(Strict):
    """The content of a Model definition. ``features`` empty means all of the feature set."""

    feature_set: Annotated[str, like("rides@1", alias="featureSet", pattern=FEATURE_SET_REF)]
    """The FeatureSet it reads, name@major."""
    features: Annotated[tuple[FieldName, ...], like(["distance", "hour"])] = ()
    """The features it uses, in this order; all that can be used if it names none."""
    target: Annotated[Target, like({"name": "late", "type": "binary"})]
    """What is predicted."""
    recipe: Annotated[Recipe | None, like({"estimator": "Ridge", "parameters": {"alpha": 0.5}})] = None
    """How versions are trained. Without one, versions can only be imported."""
    dataset: Annotated[Dataset, like({"window": "60d"})] = Dataset()
    """What a version is trained and judged on."""
    gates: Annotated[tuple[Gate, ...], like([{"metric": "roc_auc", "min": 0.7}])] = ()
    """Bounds that a version must keep; all of them, or it is rejected."""
    approval: Annotated[Approval, like({"mode": "automatic"})] = Approval()
    """Who lets a version go live once its gates hold."""
    rollout: Annotated[Rollout, like({"strategy": "shadow", "minWindows": 2})] = Rollout()
    """How it goes live."""
    monitoring: Annotated[Monitoring, like({"groups": ["city"]})] = Monitoring()
    """How it is watched."""
    kpis: Annotated[tuple[Kpi, ...], like([{"name": "rides", "expression": "count(*)", "min": 10}])] = ()
    """Business figures per window."""
    retraining: Annotated[Retraining, like({"on": ["quality"], "cooldown": "7d"})] = Retraining()
    """What asks for a new version."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_repeated(self.features, "features[{}]")
        refuse_repeated((kpi.name for kpi in self.kpis), "kpis[{}].name")
        if self.recipe is None and (self.retraining.on or self.retraining.schedule):
            raise located("retraining", "a model without a recipe (imported only) cannot be retrained")
        return self


class Model(Strict):
    """A Model; its name is its identity, its versions are counted by the registry."""

    api_version: Annotated[Literal["headrace/v1"], like("headrace/v1", alias="apiVersion")] = API_VERSION
    """The version of this notation."""
    kind: Annotated[Literal["Model"], like("Model")] = "Model"
    """Tells a Model from a FeatureSet."""
    metadata: Metadata
    """Name, owner, description."""
    spec: ModelSpec
    """The content."""

    @property
    def topic_key(self) -> str:
        """Key on the ``definitions`` topic; a Model has no major of its own, so it is always 1."""
        return f"Model/{self.metadata.name}/1"
