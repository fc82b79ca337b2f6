"""A data-set version: typed rows, the forward split, and a digest that is the same wherever the same rows are selected."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.definitions import Dtype, FeatureSet, Model
from schemas.envelope import format_time
from schemas.events.training import DatasetVersion
from services.training import canonical, split, targets
from services.training.errors import RunError
from services.training.inputs import grouping_features, inputs_of
from services.training.selection import Selection
from services.training.split import Blocks

FORMAT: Final = 1  # of the specification and the columns; part of the digest
_TYPES: Final = {
    Dtype.FLOAT32: pa.float32(),
    Dtype.FLOAT64: pa.float64(),
    Dtype.INT64: pa.int64(),
    Dtype.BOOL: pa.bool_(),
    Dtype.CATEGORY: pa.string(),
    Dtype.STRING: pa.string(),
}
_LABEL_TYPES: Final = {bool: pa.bool_(), int: pa.int64(), str: pa.string(), float: pa.float64()}
_TIME: Final = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Dataset:
    """``table``: event.id, event.source, event.entity, event.occurred_at, the features, label.observed_at, label.version,
    label.<target>, split. ``features`` are its feature columns, ``label`` its label column.
    """

    version: DatasetVersion
    table: pa.Table
    blocks: Blocks
    features: tuple[str, ...]
    label: str
    late_labels: dict[str, int]
    specification: dict[str, Any]

    def rows(self, names: tuple[str, ...], block: slice) -> list[dict[str, Any]]:
        """Feature rows of a block as `schemas.model_inputs.assemble` takes them."""
        part = self.table.select(list(names)).slice(block.start, block.stop - block.start)
        found: list[dict[str, Any]] = part.to_pylist()
        return found

    def labels(self, block: slice) -> list[Any]:
        """The labels of a block, in one Python type."""
        found: list[Any] = self.table.column(self.label).slice(block.start, block.stop - block.start).to_pylist()
        return found


def build(selection: Selection, model: Model, feature_set: FeatureSet, as_of: datetime) -> Dataset:
    """The data set of ``selection``. Raises `RunError`: ``too_few_rows``, ``feature_type``, ``mixed_labels``, `inputs` errors."""
    spec = model.spec
    _enough(selection, model, as_of)
    features = _columns(model, feature_set)
    label = f"label.{spec.target.name}"
    times = selection.rows["occurred_at"].cast(int).to_numpy()
    blocks = split.forward(times, spec.dataset.split)
    late = split.late_labels(selection.rows["observed_at"].cast(int).to_numpy(), times, blocks)
    table = _table(selection, feature_set, features, model, blocks)
    start = as_of - spec.dataset.window
    specification = {
        "format": FORMAT,
        "feature_set": feature_set.ref,
        "definition_version": feature_set.spec.version,
        "target": {"name": spec.target.name, "type": spec.target.type.value},
        "start": format_time(start),
        "end": format_time(as_of),
        "split": {"strategy": spec.dataset.split.strategy, "train": blocks.train, "validation": blocks.validation},
        "seed": spec.dataset.seed,
    }
    version = DatasetVersion(
        version=canonical.digest(table, specification),
        feature_set=feature_set.ref,
        definition_version=feature_set.spec.version,
        rows=selection.events,
        labelled=table.num_rows,
        train_rows=blocks.train,
        validation_rows=blocks.validation - blocks.train,
        test_rows=blocks.rows - blocks.validation,
        start=start,
        end=as_of,
        label_cutoff=as_of,
        offsets=selection.offsets,
        seed=spec.dataset.seed,
    )
    return Dataset(version, table, blocks, features, label, late, specification)


def _enough(selection: Selection, model: Model, as_of: datetime) -> None:
    needed = model.spec.dataset.minimum_rows
    if selection.rows.height < needed:
        message = (
            f"{selection.rows.height} of {selection.events} events of {model.spec.feature_set} before {format_time(as_of)} have a label "
            f"of {model.metadata.name} observed by then; at least {needed} are needed (spec.dataset.minimumRows). "
            "Send more labels, widen spec.dataset.window, or train as of a later time."
        )
        raise RunError("too_few_rows", message)


def _columns(model: Model, feature_set: FeatureSet) -> tuple[str, ...]:
    used = {name for entry in inputs_of(model, feature_set) for name in entry.features}
    used.update(grouping_features(model, feature_set))
    return tuple(feature.name for feature in feature_set.spec.features if feature.name in used)


def _table(
    selection: Selection, feature_set: FeatureSet, features: tuple[str, ...], model: Model, blocks: Blocks
) -> pa.Table:
    rows = selection.rows
    decoded = decode_all(rows["features"].to_list())
    values = targets.unified(decode_all(rows["value"].to_list()), model.spec.target.type)
    columns: dict[str, Any] = {
        "event.id": pa.array(rows["id"].to_list(), pa.string()),
        "event.source": pa.array(rows["source"].to_list(), pa.string()),
        "event.entity": pa.array(rows["entity_id"].to_list(), pa.string()),
        "event.occurred_at": pa.array(rows["occurred_at"].cast(int).to_numpy(), _TIME),
    }
    for name in features:
        columns[name] = _feature(name, [row.get(name) for row in decoded], feature_set)
    columns["label.observed_at"] = pa.array(rows["observed_at"].cast(int).to_numpy(), _TIME)
    columns["label.version"] = pa.array(rows["label_version"].to_list(), pa.int64())
    columns[f"label.{model.spec.target.name}"] = pa.array(values, _LABEL_TYPES[type(values[0])])
    columns["split"] = pa.array(_split_names(blocks).tolist(), pa.string())
    return pa.table(columns)


def decode_all(bodies: list[bytes]) -> list[Any]:
    """Many JSON values at once: one call instead of one per row."""
    found: list[Any] = msgspec.json.decode(b"[" + b",".join(bodies) + b"]")
    return found


def _feature(name: str, values: list[Any], feature_set: FeatureSet) -> Any:
    kind = _TYPES[feature_set.feature(name).dtype]
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        message = (
            f"Feature {name} of stored events does not fit its dtype {kind} in {feature_set.ref} {feature_set.spec.version}: {error}. "
            "A changed dtype needs a new major version of the FeatureSet."
        )
        raise RunError("feature_type", message) from error


def _split_names(blocks: Blocks) -> npt.NDArray[np.str_]:
    sizes = [blocks.train, blocks.validation - blocks.train, blocks.rows - blocks.validation]
    return np.repeat(np.array(["train", "validation", "test"]), sizes)
