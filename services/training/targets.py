"""Labels as the estimator learns them: class positions or values, and the classes as they stand in the labels."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import TargetType
from services.training.errors import RunError

Class = bool | int | str
UNKNOWN: Final = -1
MOST_CLASSES: Final = 1000


def unified(values: Sequence[Any], target: TargetType) -> list[Any]:
    """``values`` in one Python type: floats for regression; bools, integers or strings for classes.

    Binary labels that mix true/false with 1/0 become integers. Raises `RunError` (``mixed_labels``) for classes that mix
    integers and strings.
    """
    if target is TargetType.REGRESSION:
        return [float(value) for value in values]
    kinds = {type(value) for value in values}
    if len(kinds) <= 1:
        return list(values)
    if kinds == {bool, int}:
        return [int(value) for value in values]
    names = " and ".join(sorted(kind.__name__ for kind in kinds))
    message = (
        f"The labels mix {names}; a class must have one type. Send revised labels (a higher label_version) of one type."
    )
    raise RunError("mixed_labels", message)


def classes_of(fitted: Sequence[Any], target: TargetType) -> tuple[Class, ...]:
    """The classes that the fitted rows show, ascending; none for regression. The last of two is the positive one.

    Raises `RunError`: ``single_class`` when there is nothing to tell apart, ``too_many_classes``.
    """
    if target is TargetType.REGRESSION:
        return ()
    found = tuple(sorted(set(fitted)))
    if len(found) < 2:  # noqa: PLR2004 - a classifier tells at least two apart
        message = (
            f"All {len(fitted)} rows to learn from have the label {found[0] if found else 'none'}; "
            "a classifier needs at least two classes. Widen spec.dataset.window or check the labels."
        )
        raise RunError("single_class", message)
    if len(found) > MOST_CLASSES:
        message = (
            f"{len(found)} different labels; a classifier takes at most {MOST_CLASSES}. Is this target a regression?"
        )
        raise RunError("too_many_classes", message)
    return found


def encoded(values: Sequence[Any], classes: Sequence[Class]) -> npt.NDArray[Any]:
    """float64 values without classes, else int64 positions in ``classes``; `UNKNOWN` for a class that is not there."""
    if not classes:
        return np.array(values, np.float64)
    positions = {value: place for place, value in enumerate(classes)}
    return np.fromiter((positions.get(value, UNKNOWN) for value in values), np.int64, len(values))
