"""Conformal ranks: where a window stands among those before, uniform if nothing changed, whatever the distribution."""

import hashlib

import numpy as np
from scipy.special import ndtri

from services.monitoring.tallies import Floats


def ranks(last: Floats, earlier: Floats, dice: Floats) -> Floats:
    """(#less + dice · (#equal + 1)) / (m + 1) of ``last`` [channels] among the m known ones of ``earlier`` [windows, channels].

    NaN where ``last`` is. ``dice`` [channels] breaks ties: uniform on (0, 1). Exactly uniform if the windows are
    exchangeable (Vovk, Gammerman and Shafer 2005).
    """
    less, equal = (earlier < last).sum(axis=0), (earlier == last).sum(axis=0)
    known = (~np.isnan(earlier)).sum(axis=0)
    found = (less + dice * (equal + 1)) / (known + 1)
    return np.where(np.isnan(last), np.nan, found)


def normal(uniform: Floats) -> Floats:
    """Normal quantiles of ``uniform``; NaN stays."""
    return np.asarray(ndtri(uniform), dtype=np.float64)


def dice_of(identity: str, count: int) -> Floats:
    """``count`` numbers in (0, 1) that follow from ``identity`` alone: the same in every process and after every restart."""
    seed = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:16], "big")
    return np.clip(np.random.Generator(np.random.PCG64(seed)).random(count), 1e-9, 1 - 1e-9)
