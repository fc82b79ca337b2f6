"""The anchor report: how far a window is from the training data, whatever happened since. It never alarms.

The calibrated lane takes slow drift for the new normal; here it stays visible.
"""

import numpy as np

from services.monitoring.tallies import Counts


def psi(reference: Counts, window: Counts) -> float:
    """Population stability index less its expectation without drift; 0 where one sample is empty. Half a count is added per bin.

    E[PSI] ≈ (B - 1)(1/n + 1/N) for B bins (Yurdakul and Naranjo 2020): without that, small windows always look drifted.
    """
    used = (reference + window) > 0
    n, m, bins = int(window.sum()), int(reference.sum()), int(used.sum())
    if n == 0 or m == 0:
        return 0.0
    q = (window[used] + 0.5) / (n + 0.5 * bins)
    p = (reference[used] + 0.5) / (m + 0.5 * bins)
    return float(((q - p) * np.log(q / p)).sum() - (bins - 1) * (1 / n + 1 / m))
