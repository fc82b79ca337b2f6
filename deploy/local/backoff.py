"""How long a crashed service waits before it is started again."""

FIRST_S = 0.25
CAP_S = 10.0


def delay(failures: int, chance: float) -> float:
    """Return seconds to wait after the n-th failure in a row (from 1): doubling to a cap, halved by chance at most.

    ``chance`` in [0, 1) spreads services that crashed for one common reason.
    """
    whole = min(CAP_S, FIRST_S * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + chance / 2)
