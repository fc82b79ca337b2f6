"""Data sets and definitions that have nothing to do with flights: what a user of another trade would bring."""

import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

START: Final = datetime(2024, 3, 4, tzinfo=UTC)
EVERY: Final = timedelta(minutes=10)  # between two events
LABEL_AFTER: Final = timedelta(minutes=30)
WINDOW: Final = timedelta(hours=6)
LABEL_TIMEOUT: Final = timedelta(hours=2)
ROWS_A_WINDOW: Final = WINDOW // EVERY


@dataclass(frozen=True, slots=True)
class Row:
    """One event with its label."""

    event_id: str
    entity_id: str
    occurred_at: datetime
    features: dict[str, Any]
    value: Any


@dataclass(frozen=True, slots=True)
class Example:
    """A FeatureSet, a Model, and rows in order of time, the first ``history`` of them to learn from."""

    feature_set: str  # name
    model: str
    definitions: str  # YAML
    rows: Sequence[Row]
    history: int
    source: str = "example-producer"

    @property
    def ref(self) -> str:
        """How records name the FeatureSet."""
        return f"{self.feature_set}@1"

    def event(self, row: Row) -> dict[str, Any]:
        """The body of an event."""
        return {
            "feature_set": self.ref,
            "entity_id": row.entity_id,
            "occurred_at": row.occurred_at.isoformat(),
            "features": row.features,
        }

    def event_line(self, row: Row) -> bytes:
        """An event as a structured CloudEvent."""
        return self._line(row.event_id, "headrace.event.v1", self.event(row))

    def label_line(self, row: Row) -> bytes:
        """Its label as a structured CloudEvent."""
        data = {
            "model": self.model,
            "event_id": row.event_id,
            "event_source": self.source,
            "entity_id": row.entity_id,
            "observed_at": (row.occurred_at + LABEL_AFTER).isoformat(),
            "value": row.value,
        }
        return self._line(f"{row.event_id}:label", "headrace.label.v1", data)

    def _line(self, identity: str, kind: str, data: dict[str, Any]) -> bytes:
        event = {"specversion": "1.0", "id": identity, "source": self.source, "type": kind, "data": data}
        return json.dumps(event).encode()


def unique(name: str) -> str:
    """A name that no other test uses."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def parcels(windows: int = 3) -> Example:
    """Three classes that are strings; categories with unseen ones, missing values, a derived feature."""
    chance = random.Random(7)

    def features() -> dict[str, Any]:
        return {
            "size": chance.choices(("small", "medium", "large", "huge"), (4, 3, 2, 0.2))[0],
            "weight": None if chance.random() < 0.1 else round(chance.uniform(0.1, 30), 2),
            "express": chance.random() < 0.3,
            "distance": round(chance.uniform(5, 3000), 1),
        }

    def value(row: dict[str, Any]) -> str:
        if chance.random() < 0.03:
            return chance.choice(("air", "rail", "road"))
        if row["express"]:
            return "air" if row["distance"] > 800 else "road"
        return "rail" if (row["weight"] or 0) > 12 else "road"

    return _example("parcels", PARCELS, [(row := features(), value(row)) for _ in range(400 + windows * ROWS_A_WINDOW)])


def patients(windows: int = 3) -> Example:
    """A regression on the 442 patients of scikit-learn's diabetes data."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    names = [str(name) for name in data.feature_names]
    rows = [
        (dict(zip(names, (float(x) for x in given), strict=True)), float(progress))
        for given, progress in zip(data.data, data.target, strict=True)
    ]
    count = len(rows) // ROWS_A_WINDOW * ROWS_A_WINDOW
    features = "\n".join(f"    - {{name: {name}, dtype: float64}}" for name in names)
    return _example(
        "patients", PATIENTS.replace("FEATURES", features), rows[:count], history=count - windows * ROWS_A_WINDOW
    )


def pumps(windows: int = 3, history: int = 180) -> Example:
    """Two classes, two numbers; the quickest to learn."""
    chance = random.Random(11)
    rows: list[tuple[dict[str, Any], Any]] = []
    for _ in range(history + windows * ROWS_A_WINDOW):
        pressure, vibration = round(chance.gauss(5, 1), 3), round(chance.random(), 3)
        rows.append(
            ({"pressure": pressure, "vibration": vibration}, pressure + 4 * vibration + chance.gauss(0, 0.5) > 7)
        )
    return _example("pumps", PUMPS, rows, history=history)


def _example(name: str, definitions: str, rows: Sequence[tuple[dict[str, Any], Any]], *, history: int = 400) -> Example:
    feature_set, model = unique(name), unique(f"{name}-model")
    made = [
        Row(f"{feature_set}:{number}", f"{name}-{number % 41}", START + number * EVERY, features, value)
        for number, (features, value) in enumerate(rows)
    ]
    return Example(feature_set, model, definitions.replace("SET", feature_set).replace("MODEL", model), made, history)


def _model(target: str, recipe: str, gate: str, more: str = "") -> str:
    return f"""---
apiVersion: headrace/v1
kind: Model
metadata: {{name: MODEL, owner: ml-team, description: An example}}
spec:
  featureSet: SET@1
  target: {{name: outcome, type: {target}, label: {{expected: 1h, timeout: 2h}}}}
  recipe: {recipe}
  dataset: {{window: 60d, minimumRows: 100, seed: 7}}
  gates:
    - {gate}
    - {{metric: onnx_mismatch_share, max: 0.001}}
  approval: {{mode: automatic}}
  rollout: {{strategy: direct}}
  monitoring:
    window: {{every: 6h, lateness: 10m}}
{more}"""


PARCELS: Final = """
apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: SET, owner: data-team, description: Parcels at the counter}
spec:
  version: 1.0.0
  entity: customer
  clock: replay
  features:
    - {name: size, dtype: category, categories: [small, medium, large], unseen: allow}
    - {name: weight, dtype: float32, unit: kg, range: [0, 50], nullable: true}
    - {name: express, dtype: bool}
    - {name: distance, dtype: float32, unit: km, range: [0, 20000]}
    - {name: far, dtype: bool, expression: "distance > 800"}
  rules:
    - {name: light-if-small, expression: "size <> 'small' or weight < 40"}
""" + _model(
    "multiclass",
    "{estimator: HistGradientBoostingClassifier, parameters: {max_iter: 20, max_leaf_nodes: 7}}",
    "{metric: accuracy, min: 0.6}",
    """    groups: [size]
  kpis:
    - {name: express_share, expression: "avg(cast(express as int))"}
""",
)

PATIENTS: Final = """
apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: SET, owner: data-team, description: Ten measurements of a patient}
spec:
  version: 1.0.0
  entity: patient
  clock: replay
  features:
FEATURES
""" + _model("regression", "{estimator: Ridge, parameters: {alpha: 0.1}}", "{metric: r2, min: 0.2}")

PUMPS: Final = """
apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: SET, owner: data-team, description: Pumps and how they shake}
spec:
  version: 1.0.0
  entity: pump
  clock: replay
  features:
    - {name: pressure, dtype: float32, unit: bar, range: [0, 20]}
    - {name: vibration, dtype: float32, range: [0, 1]}
""" + _model("binary", "{estimator: LogisticRegression}", "{metric: roc_auc, min: 0.7}")
