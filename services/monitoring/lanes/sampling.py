"""Windows of different sizes made comparable: a value of few rows scatters more, which is no change.

A channel's variance is taken as tau² + sigma² / rows, tau² being how windows differ and sigma² how rows do. What is new in a
window is divided by its own deviation, in units of that of a window of the usual size.
"""

import numpy as np

from services.monitoring.tallies import Floats

NORMAL_QUARTILES: float = 1.349  # standard deviations between the quartiles of a normal


def evened(new: Floats, sizes: Floats, noise: Floats, recent: int) -> Floats:
    """``new`` [windows, channels] over the deviation that its window's size makes of the usual one.

    ``sizes`` [windows]: rows, NaN unknown, taken as usual. ``noise`` [channels]: sigma², 0 for a channel whose value does not
    scatter with its rows, NaN where it is not known: small windows are then taken to scatter fully, large ones not less than
    the usual. ``recent``: how many of the last windows do not say what is usual.
    """
    inverse = 1 / np.maximum(sizes, 1)
    earlier = inverse[:-recent][~np.isnan(inverse[:-recent])]
    if not len(earlier):
        return new
    usual = float(earlier.mean())
    ratio = np.where(np.isnan(inverse), 1.0, inverse / usual)[:, None]
    share = np.clip(np.nan_to_num(noise) * usual / np.maximum(_variance(new[:-recent]), 1e-300), 0.0, 1.0)
    known = 1 - share + share * ratio
    return np.asarray(new / np.sqrt(np.where(np.isnan(noise), np.maximum(ratio, 1.0), known)), dtype=np.float64)


def _variance(values: Floats) -> Floats:
    """By the quartiles, so that a few strange windows count little."""
    ordered = np.sort(values, axis=0)  # NaN come last
    last = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    columns = np.arange(values.shape[1])
    spread = ordered[last - last // 4, columns] - ordered[last // 4, columns]
    return np.asarray(np.nan_to_num(spread / NORMAL_QUARTILES) ** 2, dtype=np.float64)
