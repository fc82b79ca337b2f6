"""What was asked and what became of it: a fold of training.requests and training.events. Pending is the difference."""

from collections.abc import Iterable
from datetime import datetime

from schemas.events.training import DatasetMaterialized, RunCompleted, RunFailed, RunStarted, TrainingRequest
from schemas.identities import run_id

RunEvent = RunStarted | DatasetMaterialized | RunCompleted | RunFailed


class Ledger:
    """Every record may come twice and in any order across the two topics: the fold is the same."""

    def __init__(self) -> None:
        self._waiting: dict[str, TrainingRequest] = {}  # by request id, in order of arrival
        self._offsets: dict[str, int] = {}  # by request id
        self._known: set[str] = set()  # request ids
        self._started: set[str] = set()  # run ids
        self._finished: set[str] = set()  # run ids
        self._cutoffs: dict[str, datetime] = {}

    def add(self, request: TrainingRequest, offset: int) -> None:
        """A request stands on the topic at ``offset``."""
        self._offsets[request.request_id] = offset
        self._known.add(request.request_id)
        if run_id(request.request_id) not in self._finished:
            self._waiting.setdefault(request.request_id, request)
        if request.as_of is not None and request.reason != "manual":  # people's runs count once they have a data set
            self._cut(request.model, request.as_of)

    def observe(self, event: RunEvent) -> None:
        """Something happened to a run."""
        if isinstance(event, DatasetMaterialized):
            self._cut(event.model, event.dataset.label_cutoff)
            return
        self._known.add(event.request_id)
        if isinstance(event, RunStarted):
            self._started.add(event.run_id)
            return
        self._finished.add(event.run_id)
        self._waiting.pop(event.request_id, None)

    def finish(self, request_id: str) -> None:
        """This process has published the request's outcome; its record will come back by the topic."""
        self._finished.add(run_id(request_id))
        self._waiting.pop(request_id, None)

    def _cut(self, model: str, time: datetime) -> None:
        self._cutoffs[model] = max(time, self._cutoffs.get(model, time))

    def next(self) -> TrainingRequest | None:
        """The oldest request without an outcome."""
        return next(iter(self._waiting.values()), None)

    @property
    def waiting(self) -> Iterable[TrainingRequest]:
        """All requests without an outcome, the oldest first."""
        return tuple(self._waiting.values())

    def offset(self, request_id: str) -> int:
        """Where the request stands on training.requests."""
        return self._offsets[request_id]

    def started(self, run: str) -> bool:
        """Whether the run was announced, by this process or one before it."""
        return run in self._started

    def known(self, request_id: str) -> bool:
        """Whether this request was ever made."""
        return request_id in self._known

    def busy(self, model: str) -> bool:
        """Whether a request for ``model`` is waiting or running."""
        return any(request.model == model for request in self._waiting.values())

    def last_cutoff(self, model: str) -> datetime | None:
        """The latest event time as of which ``model`` was asked to be trained; None if it never was."""
        return self._cutoffs.get(model)
