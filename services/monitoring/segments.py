"""What stage 1 collects between two moments at which a window could close."""

from dataclasses import dataclass, field

from services.monitoring import inputs
from services.monitoring.joins import ObservedLabel
from services.monitoring.knowledge import Series

Rows = tuple[list[inputs.Prediction], list[int]]  # and when each was appended, epoch milliseconds


@dataclass(slots=True)
class Segment:
    """Predictions and labels since the last moment at which a window could close."""

    predictions: dict[Series, Rows] = field(default_factory=dict)
    counted: dict[Series, Rows] = field(
        default_factory=dict
    )  # in their window's checkpoint already: for the join alone
    labels: list[ObservedLabel] = field(default_factory=list)

    @staticmethod
    def add(to: dict[Series, Rows], prediction: inputs.Prediction, appended: int) -> None:
        """File a prediction under its series in ``to``: `predictions` or `counted`."""
        series = Series(prediction.model, prediction.version, prediction.route)
        rows, times = to.setdefault(series, ([], []))
        rows.append(prediction)
        times.append(appended)

    def clear(self) -> None:
        """Begin the next one."""
        self.predictions.clear()
        self.counted.clear()
        self.labels.clear()
