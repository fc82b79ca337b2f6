"""How long to wait before what may pass is tried again."""

import random
from typing import Final

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0


def pause(attempt: int, longest: float = LONGEST_PAUSE) -> float:
    """Seconds to wait after the n-th attempt (from 1): doubling to ``longest``, halved by chance at most."""
    whole: float = min(longest, FIRST_PAUSE * 2 ** min(attempt - 1, 30))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
