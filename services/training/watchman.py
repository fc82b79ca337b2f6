"""Looks at every model that retrains itself whenever event time, alerts, definitions or the ledger have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Self

from schemas.events.training import TrainingRequest
from schemas.topics import TRAINING_REQUESTS
from services.training.adapters import measures
from services.training.results import SOURCE
from services.training.retraining import due
from services.training.state import State
from shared.clock import Clock
from shared.errors import TransientError
from shared.health import Health
from shared.logs import get_logger
from shared.records import Outgoing, message

PAUSE_SECONDS: Final = 0.2  # ticks come by the thousand in a replay; one look at a time is enough

log = get_logger(__name__)


class Watchman:
    """A component: while it is entered, due retrainings become requests on training.requests."""

    name = "retraining watch"

    def __init__(
        self,
        state: State,
        *,
        watermark: Callable[[str], datetime | None],
        caught_up: Callable[[], bool],
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
        clock: Clock,
        health: Health,
    ) -> None:
        """``watermark``: the event time of a feature set. Nothing is decided before ``caught_up``: it would be too early."""
        self._state = state
        self._watermark = watermark
        self._caught_up = caught_up
        self._publish = publish
        self._clock = clock
        self._health = health
        self._changed = asyncio.Event()
        self._published: set[str] = set()  # requests that have not come back by the topic yet
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._changed.set()
        self._task = asyncio.create_task(self._watch(), name=self.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Something changed."""
        self._changed.set()

    async def _watch(self) -> None:
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    await self.decide()
                except TransientError as error:
                    log.warning("a retraining request could not be published: %s; it is tried again", error)
                    self._changed.set()
                await asyncio.sleep(PAUSE_SECONDS)
        except Exception as error:
            self._health.fail(f"{self.name}: {type(error).__name__}: {error}")

    async def decide(self) -> list[TrainingRequest]:
        """Publish what is due now; what was published."""
        made: list[TrainingRequest] = []
        if not self._caught_up():
            return made
        for model in self._state.retrained_models:
            watermark = self._watermark(model.spec.feature_set)
            request = due(model, self._state.alerts.values(), self._state.ledger, watermark, self._clock.now())
            if request is None or request.request_id in self._published:
                continue
            record = message(
                TRAINING_REQUESTS,
                request,
                key=request.model,
                source=SOURCE,
                id=request.request_id,
                time=request.requested_at,
            )
            await self._publish([record])
            self._published.add(request.request_id)
            measures.requests_derived.labels(request.reason).inc()
            log.info("%s is to be trained again", request.model, reason=request.reason, detail=request.detail)
            made.append(request)
        return made
