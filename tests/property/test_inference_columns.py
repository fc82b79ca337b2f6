"""The arrays that inference builds from JSON are exactly those that training and the registry's probe build from rows."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_models import CATEGORICAL, NUMERIC, TEXT, parcels

from schemas.events.training import ModelInput
from schemas.model_inputs import assemble
from services.inference.columns import BatchColumns, FeatureColumns

FEATURES = parcels()
INPUTS = (
    NUMERIC,
    CATEGORICAL,
    TEXT,
    ModelInput(name="doubles", kind="float64", features=("class", "value", "express")),
    ModelInput(name="whole", kind="int64", features=("hour", "express")),
    ModelInput(name="flat", kind="numeric", features=("weight",), rank=1),
    ModelInput(name="words", kind="string", features=("zone",), rank=1),
)
LONG = st.integers(-(2**63), 2**63 - 1)
ROWS = st.fixed_dictionaries(
    {
        "weight": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        "value": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "hour": LONG,
        "express": st.booleans(),
        "zone": st.none() | st.sampled_from(["a", "b", "c", "elsewhere"]),
        "note": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
        "class": st.none() | LONG,
    },
    optional={"more": st.none()},
)


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=6), st.data())
def test_both_ways_from_features_to_arrays_agree(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    columns = FeatureColumns(FEATURES, INPUTS)
    decoded = columns.decode([msgspec.Raw(msgspec.json.encode(row)) for row in rows])
    batch = BatchColumns(columns, decoded)  # type: ignore[arg-type]
    positions = data.draw(st.none() | st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=4))
    chosen = rows if positions is None else [rows[position] for position in positions]
    with np.errstate(over="ignore"):
        found, expected = batch.arrays(INPUTS, positions), assemble(INPUTS, FEATURES, chosen)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name])
