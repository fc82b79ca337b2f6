"""Keeps what is served equal to what is deployed: loads in a thread, swaps between batches, says what became of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from schemas.events.inference import ModelStatus
from services.inference.errors import MAY_STILL_COME, Refusal, VersionRefusedError
from services.inference.loading import Loader
from services.inference.roster import Outcome, Roster, Wanted
from services.inference.serving_plan import CurrentPlan, LoadedVersion, ServingPlan
from shared.clock import Clock
from shared.errors import HeadraceError
from shared.health import Health
from shared.logs import get_logger

LOOK_AGAIN_SECONDS: Final = 1.0

log = get_logger(__name__)


class Announcer(Protocol):
    """Tells the platform and the metrics what became of versions."""

    async def status(self, status: ModelStatus) -> None:
        """Publish ``status``. Raises `HeadraceError` where that failed: it will be tried again."""
        ...

    def in_force(self, plan: ServingPlan) -> None:
        """``plan`` is served from now on."""
        ...


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Who this process is, and how patient; seconds."""

    instance: str
    missing_grace: float = 30.0
    retry_longest: float = 30.0


class ModelKeeper:
    """A component: works while it is entered. Everything but the loading itself happens on the event loop."""

    name = "models"

    def __init__(
        self,
        roster: Roster,
        loader: Loader,
        plan: CurrentPlan,
        *,
        refetch: Callable[[], Awaitable[None]],
        announcer: Announcer,
        health: Health,
        clock: Clock,
        settings: KeeperSettings,
    ) -> None:
        """``refetch`` reads models.artifacts again, for what the disk has lost."""
        self._roster = roster
        self._loader = loader
        self._plan = plan
        self._refetch = refetch
        self._announcer = announcer
        self._health = health
        self._clock = clock
        self._settings = settings
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._missing_since: dict[tuple[str, str], float] = {}
        self._announced: dict[str, dict[Outcome, bool]] = {}  # by model; the value says whether it was published
        self._retry_after = LOOK_AGAIN_SECONDS
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model loading")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def changed(self) -> None:
        """The roster was told something new."""
        self._wake.set()

    async def until_served(self, owed: Collection[str], still_waiting: Callable[[], None]) -> None:
        """Returns once every deployed version is loaded or refused, and each model in ``owed`` has a champion.

        While it waits, /health/ready says for which champion and why, and ``still_waiting`` is called now and then.
        """
        self._put_in_force()  # what was deployed a moment ago may need no loading
        async with self._gates() as show:
            while True:
                moved = self._moved
                missing = self._roster.missing_champions(owed)
                show({f"champion of {model}, {why}" for model, why in missing.items()})
                if not missing and not self._roster.unsettled():
                    return
                try:
                    async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                        await moved.wait()
                except TimeoutError:
                    still_waiting()

    @asynccontextmanager
    async def _gates(self) -> AsyncIterator[Callable[[set[str]], None]]:
        shown: set[str] = set()

        def show(gates: set[str]) -> None:
            for gate in shown - gates:
                self._health.ready(gate)
            for gate in gates - shown:
                self._health.starting(gate)
                log.warning("waiting before any event is scored", gate=gate)
            shown.clear()
            shown.update(gates)

        try:
            yield show
        finally:
            show(set())

    async def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                await self._settle()
                await self._announce()
                await self._sleep()
        except Exception as error:  # a keeper that silently stands still would serve old models for ever
            self._health.fail(f"{self.name}: {type(error).__name__}: {error}")
            raise

    async def _sleep(self) -> None:
        """Until something changes, or it is time to try again what could not be loaded."""
        refused = self._roster.may_heal()
        unpublished = any(not done for outcomes in self._announced.values() for done in outcomes.values())
        waiting = bool(self._roster.unsettled()) or unpublished
        pause = LOOK_AGAIN_SECONDS if waiting else self._retry_after if refused else None
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            if not waiting:
                self._retry_after = min(2 * self._retry_after, self._settings.retry_longest)
                self._roster.retry_refused()
        if not refused:
            self._retry_after = LOOK_AGAIN_SECONDS

    async def _settle(self) -> None:
        """Load what is wanted and put each step in force at once; what may still come is left for the next time."""
        self._put_in_force()
        tried: set[Wanted] = set()
        while wanted := next((w for w in self._roster.unsettled() if w not in tried), None):
            tried.add(wanted)
            await self._load(wanted)
            self._put_in_force()
        self._missing_since = {w.place: s for w in tried if (s := self._missing_since.get(w.place)) is not None}

    async def _load(self, wanted: Wanted) -> None:
        try:
            try:
                version = await self._attempt(wanted)
            except VersionRefusedError as error:
                if error.code not in (Refusal.ARTIFACT_MISSING, Refusal.STORAGE):
                    raise
                await self._refetch()
                version = await self._attempt(wanted)
        except VersionRefusedError as error:
            if not self._may_still_come(wanted, error):
                self._roster.refused(wanted, error)
            return
        except Exception as error:  # a model that surprises us is refused, not fatal
            message = f"Loading failed unexpectedly: {type(error).__name__}: {error}"
            log.exception("loading failed unexpectedly", model=wanted.model, version=wanted.version)
            self._roster.refused(wanted, VersionRefusedError(Refusal.INTERNAL, message))
            return
        self._missing_since.pop(wanted.place, None)
        self._roster.loaded(wanted, version)

    async def _attempt(self, wanted: Wanted) -> LoadedVersion:
        candidate = self._roster.candidate(wanted)
        feature_set = self._roster.feature_set(wanted.feature_set)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._loader.load, wanted, candidate, feature_set)

    def _may_still_come(self, wanted: Wanted, error: VersionRefusedError) -> bool:
        """What is missing is waited for: the topics are followed one by one, so it may arrive after its deployment."""
        if error.code not in MAY_STILL_COME:
            return False
        now = self._clock.monotonic()
        return now - self._missing_since.setdefault(wanted.place, now) < self._settings.missing_grace

    def _put_in_force(self) -> None:
        plan = self._roster.plan()
        if plan.content != self._plan().content:
            self._plan.swap(plan)
            self._announcer.in_force(plan)
        self._moved.set()
        self._moved = asyncio.Event()

    async def _announce(self) -> None:
        """Publish every outcome once. The plan that it speaks of is in force already."""
        outcomes: dict[str, dict[Outcome, bool]] = {}
        for outcome in self._roster.outcomes():
            model = outcome.wanted.model
            done = self._announced.get(model, {}).get(outcome, False)
            outcomes.setdefault(model, {})[outcome] = done or await self._publish(outcome, released=False)
        for model, before in self._announced.items():
            gone = not any(wanted.model == model for wanted in self._roster.unsettled())
            if model not in outcomes and before and gone:
                last = next(reversed(before))
                if not await self._publish(last, released=True):
                    outcomes[model] = before
        self._announced = outcomes

    async def _publish(self, outcome: Outcome, *, released: bool) -> bool:
        wanted = outcome.wanted
        state = "released" if released else "refused" if outcome.code else "loaded"
        status = ModelStatus(
            model=wanted.model,
            instance=self._settings.instance,
            version=wanted.version,
            digest=wanted.digest,
            route=wanted.route,
            state=state,
            code=outcome.code,
            message=outcome.message,
            deployment_revision=wanted.revision,
            at=self._clock.now(),
        )
        try:
            await self._announcer.status(status)
        except HeadraceError as error:
            log.warning("a model's status could not be published; trying again", model=wanted.model, error=str(error))
            return False
        say = log.warning if state == "refused" else log.info
        say(
            "a version was " + state,
            model=wanted.model,
            version=wanted.version,
            route=wanted.route,
            **{"why" if state == "refused" else "options": outcome.message},
        )
        return True
