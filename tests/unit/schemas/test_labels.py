import pytest
from machine_definitions import model

from schemas.labels import check_label_value
from schemas.reasons import Rule


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("binary", True),
        ("binary", 0),
        ("binary", 1),
        ("multiclass", 7),
        ("multiclass", "bad"),
        ("regression", 3),
        ("regression", -0.5),
    ],
)
def test_a_label_that_suits_its_target_is_accepted(target: str, value: object) -> None:
    assert check_label_value(model(target), value) == ()


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("binary", 2),
        ("binary", 1.0),
        ("binary", "true"),
        ("binary", None),
        ("multiclass", True),
        ("multiclass", 1.0),
        ("multiclass", ""),
        ("regression", True),
        ("regression", "3"),
        ("regression", float("nan")),
        ("regression", float("inf")),
        ("regression", None),
    ],
)
def test_any_other_label_is_refused(target: str, value: object) -> None:
    assert [each.rule for each in check_label_value(model(target), value)] == [Rule.LABEL_VALUE]
