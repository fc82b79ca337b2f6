"""Whether the artifact says what the estimator said: the share of rows on which they differ, and the bound on it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.training.errors import RunError

Floats = npt.NDArray[np.float64]

TOLERANCE: Final = 1e-4  # of a probability; of a value relative to its size and to the spread of all values
LARGEST_SHARE: Final = 0.001


def mismatch_share(reference: Floats, converted: Floats) -> float:
    """The larger of the share of rows beyond `TOLERANCE` and the share of flipped labels.

    ``reference`` and ``converted``: probabilities [N, C] or values [N]. A label is flipped if the converted model prefers a
    class that the reference puts more than the tolerance below its favourite; a tie that falls the other way is none.
    """
    if not len(reference):
        return 0.0
    difference = np.abs(converted - reference)
    if reference.ndim == 1:
        beyond = difference > TOLERANCE * (np.abs(reference) + reference.std())
        return float(np.mean(beyond | ~np.isfinite(converted)))
    beyond = difference.max(axis=1) > TOLERANCE
    rows = np.arange(len(reference))
    flipped = reference.max(axis=1) - reference[rows, converted.argmax(axis=1)] > TOLERANCE
    return float(max(np.mean(beyond | ~np.isfinite(converted).all(axis=1)), flipped.mean()))


def prove(share: float, estimator: str) -> None:
    """Raise `RunError` (``onnx_parity``) when ``share`` is above `LARGEST_SHARE`."""
    if share > LARGEST_SHARE:
        message = (
            f"The ONNX model differs from {estimator} on {share:.2%} of the rows (allowed {LARGEST_SHARE:.2%}): the conversion is "
            "not faithful for these parameters. Choose others, or another estimator of the whitelist."
        )
        raise RunError("onnx_parity", message)
