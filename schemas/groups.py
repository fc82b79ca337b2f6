"""Groups of rows by the value of a feature, and what a gap between them is: in training's gates as in monitored windows.

Sources: demographic parity, Dwork et al. 2012; equal opportunity, Hardt, Price and Srebro 2016.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from schemas.definitions import TargetType
from schemas.events.training import CategoricalReference
from schemas.reference import name_of

SMALLEST_GROUP: Final = 30  # rows; smaller groups say nothing
MOST_GROUPS: Final = 50
LONGEST_NAME: Final = 100  # characters; longer texts are no group of their own

# What is compared between the groups: of which rows which share.
DEMOGRAPHIC_PARITY: Final = "demographic_parity_gap"  # of all rows, those predicted positive
EQUAL_OPPORTUNITY: Final = "equal_opportunity_gap"  # of the positive rows, those predicted positive
BASE_RATE: Final = "base_rate_gap"  # of all rows, the positive ones
ACCURACY: Final = "accuracy_gap"  # of all rows, those predicted right
RMSE: Final = "rmse_gap"
GAPS: Final[dict[TargetType, tuple[str, ...]]] = {
    TargetType.BINARY: (DEMOGRAPHIC_PARITY, EQUAL_OPPORTUNITY, BASE_RATE, ACCURACY),
    TargetType.MULTICLASS: (ACCURACY,),
    TargetType.REGRESSION: (RMSE,),
}


def gap(values: Iterable[float | None]) -> float | None:
    """The largest difference between two groups; groups without a value are left out, None with fewer than two others."""
    known = [value for value in values if value is not None]
    return max(known) - min(known) if len(known) > 1 else None


def describe_groups(values: Sequence[Any]) -> CategoricalReference:
    """The groups that ``values`` form (None = missing), the largest first, and how many rows each holds.

    A value of fewer than `SMALLEST_GROUP` rows, a long text, and all beyond `MOST_GROUPS` are no groups: they count as unseen.
    """
    tally = Counter(map(name_of, values))
    missing = tally.pop(None, 0)
    ranked = sorted((-count, name) for name, count in tally.items() if name is not None and len(name) <= LONGEST_NAME)
    counts = {name: -count for count, name in ranked[:MOST_GROUPS] if -count >= SMALLEST_GROUP}
    return CategoricalReference(counts=counts, missing=missing, unseen=tally.total() - sum(counts.values()))
