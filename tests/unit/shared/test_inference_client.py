"""How rows become tensors of a request."""

import pytest

from shared.errors import RefusedError
from shared.inference_client import tensors_of


def test_each_feature_becomes_a_tensor_of_its_own_type_with_null_where_a_row_lacks_it() -> None:
    rows = [{"a": 1, "b": True, "c": 1, "d": "x"}, {"a": None, "b": False, "c": 2.5}]
    found = {tensor.name: (tensor.datatype, tensor.data) for tensor in tensors_of(rows)}
    assert found == {
        "a": ("INT64", (1, None)),
        "b": ("BOOL", (True, False)),
        "c": ("FP64", (1, 2.5)),
        "d": ("BYTES", ("x", None)),
    }


@pytest.mark.parametrize("values", [[[1]], [True, "x"], [1, True]])
def test_what_no_tensor_can_hold_is_refused_by_its_name(values: list[object]) -> None:
    with pytest.raises(RefusedError, match="feature a holds"):
        tensors_of([{"a": value} for value in values])
