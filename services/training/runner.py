"""One run after the other: take the oldest pending request, wait for its data, start the worker, publish what came of it.

The service's own process stays light: everything heavy happens in the worker. All that is published carries identities that
follow from the request, and the result is one transaction, so a run that is repeated after a crash has one outcome.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, Self

from schemas.definitions import FeatureSet, Model
from schemas.definitions.catalog import DefinitionCatalog
from schemas.envelope import format_time
from schemas.events.contract import decode
from schemas.events.training import (
    Candidate,
    DatasetMaterialized,
    DatasetVersion,
    RunFailed,
    RunStarted,
    TrainingProgress,
    TrainingRequest,
)
from schemas.identities import derived_id, run_id
from schemas.reasons import RefusedRecordError
from services.training.adapters import measures, worker_process
from services.training.adapters.validated_topics import ValidatedTopics
from services.training.catching_up import check_reachable, cutoff, too_late
from services.training.errors import RunError
from services.training.job import DISK, Failed, Job, Materialised, Progressed, Report
from services.training.ledger import Ledger
from services.training.results import completion, run_message
from services.training.segments import EVENTS, LABELS
from services.training.settings import TrainingSettings
from shared.backoff import pause
from shared.clock import Clock
from shared.errors import FatalError, TransientError
from shared.health import Health
from shared.logs import get_logger
from shared.records import Outgoing

POLL_SECONDS: Final = 0.1
LONGEST_PAUSE: Final = 60.0

log = get_logger(__name__)


class Commit(Protocol):
    """Publishes the outcome of a run, all or nothing."""

    async def __call__(self, run: str, request_offset: int, outputs: Sequence[Outgoing]) -> bool:
        """False when the run already had its outcome. Raises `shared.errors.FatalError` when the outcome is unknown."""
        ...


Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Runner:
    """A component: while it is entered, pending requests are worked on, one at a time."""

    name = "training runs"

    def __init__(  # noqa: PLR0913 - a component's wiring in one call
        self,
        settings: TrainingSettings,
        directory: Path,
        *,
        ledger: Ledger,
        catalog: Callable[[], DefinitionCatalog],
        topics: ValidatedTopics,
        publish: Publish,
        commit: Commit,
        sign: Callable[[Outgoing], Outgoing],
        clock: Clock,
        health: Health,
    ) -> None:
        """``publish`` for what a run does, ``commit`` for what came of it, ``sign`` for the candidate."""
        self._settings = settings
        self._directory = directory
        self._ledger = ledger
        self._catalog = catalog
        self._topics = topics
        self._publish = publish
        self._commit = commit
        self._sign = sign
        self._clock = clock
        self._health = health
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name=self.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()  # a run in progress is left without an outcome: the next process repeats it
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """The ledger may have something to do."""
        self._asked.set()

    async def _work(self) -> None:
        attempt = 1
        try:
            while True:
                self._asked.clear()
                request = self._ledger.next()
                if request is None:
                    await self._asked.wait()
                    continue
                try:
                    await self._one(request)
                    attempt = 1
                except TransientError as error:
                    seconds = pause(attempt + 3, LONGEST_PAUSE)
                    log.warning("a run waits: %s It is tried again in %.0f s.", error, seconds, model=request.model)
                    await asyncio.sleep(seconds)
                    attempt += 1
        except Exception as error:
            self._health.fail(f"{self.name}: {type(error).__name__}: {error}")

    async def _one(self, request: TrainingRequest) -> None:
        run, begun = run_id(request.request_id), self._clock.monotonic()
        now = self._clock.now()
        if not self._ledger.started(run):
            started = RunStarted(run_id=run, request_id=request.request_id, model=request.model, at=now)
            await self._say(started, request.model, derived_id("started", run))
            self._ledger.observe(started)
        log.info("training %s", request.model, run=run, reason=request.reason)
        try:
            await self._train(request, run, begun)
        except RunError as error:
            await self._fail(request, run, error)
        except (TransientError, FatalError):
            raise
        except OSError as error:
            message = f"The files of run {run} cannot be written in {self._directory}: {error.strerror or error}. Free space there."
            raise TransientError(message) from error
        except Exception as error:
            log.exception("a run stopped on an error of ours", run=run)
            message = f"The service stopped the run on an error of its own: {type(error).__name__}: {error}. Its log has the trace."
            await self._fail(request, run, RunError("internal", message))
        measures.run_seconds.observe(self._clock.monotonic() - begun)

    async def _fail(self, request: TrainingRequest, run: str, error: RunError) -> None:
        failed = RunFailed(
            run_id=run,
            request_id=request.request_id,
            model=request.model,
            at=self._clock.now(),
            code=error.code,
            message=str(error),
        )
        output = run_message(failed, model=request.model, identity=derived_id("failed", run), at=failed.at)
        await self._commit(run, self._ledger.offset(request.request_id), [output])
        self._ledger.finish(request.request_id)
        measures.runs.labels(error.code).inc()
        log.warning("training %s failed: %s", request.model, error, run=run, code=error.code)

    async def _train(self, request: TrainingRequest, run: str, begun: float) -> None:
        arrival = await self._topics.ends()
        model, feature_set = await self._defined(request.model)
        as_of = await self._caught_up(request, feature_set, arrival)
        await self._topics.flush()
        log.info("the data of the run is there", run=run, as_of=format_time(as_of))
        output = self._directory / "runs" / run
        with self._topics.store.pinned():
            job = self._job(request, run, model, feature_set, as_of, output)
            try:
                async with asyncio.timeout(self._settings.run_deadline):
                    await self._worked(job, output, request)
            except TimeoutError:
                message = (
                    f"The run took longer than {self._settings.run_deadline:g} s and was stopped. Give the recipe less to do, or "
                    "raise HEADRACE_TRAINING__RUN_DEADLINE."
                )
                raise RunError("deadline", message) from None
        await self._complete(job, request, begun)

    async def _defined(self, name: str) -> tuple[Model, FeatureSet]:
        """The definitions of model and feature set; `apply` and `train` may come in any order within a moment."""
        deadline = self._clock.monotonic() + self._settings.definition_wait
        while True:
            try:
                model = self._catalog().model(name)
                return model, self._catalog().feature_set(model.spec.feature_set)
            except (KeyError, RefusedRecordError) as error:
                if self._clock.monotonic() >= deadline:
                    raise _undefined(name, self._catalog(), error) from None
            await asyncio.sleep(POLL_SECONDS)

    async def _caught_up(self, request: TrainingRequest, feature_set: FeatureSet, arrival: dict[Any, int]) -> datetime:
        ref = feature_set.ref
        begun = changed = self._clock.monotonic()
        seen = None
        check_reachable(request, feature_set, self._topics.watermark(ref), self._clock.now(), self._settings.store_wait)
        while True:
            caught_up = await self._topics.reached(arrival)
            now, watermark = self._clock.monotonic(), self._topics.watermark(ref)
            arrivals = self._topics.store.arrivals
            latest = (watermark, arrivals[ref], arrivals[request.model])
            if latest != seen:
                seen, changed = latest, now
            # Others' records and ticks may arrive all the time; what counts is whether this run's still do.
            silence = now - min(self._topics.last_arrival, changed)
            found = cutoff(
                request, ref, watermark, caught_up=caught_up, quiet=caught_up and silence >= self._settings.settle
            )
            if found is not None:
                return found
            if now >= begun + self._settings.store_wait:
                raise too_late(request, watermark, self._settings.store_wait)
            await asyncio.sleep(POLL_SECONDS)

    def _job(
        self, request: TrainingRequest, run: str, model: Model, feature_set: FeatureSet, as_of: datetime, output: Path
    ) -> Job:
        store = self._topics.store
        start = as_of - model.spec.dataset.window
        return Job(
            run_id=run,
            request_id=request.request_id,
            model=model.model_dump(mode="json"),
            feature_set=feature_set.model_dump(mode="json"),
            as_of=as_of,
            overrides=request.overrides,
            events=[str(path) for path in store.select(EVENTS, feature_set.ref, start, as_of)],
            labels=[str(path) for path in store.select(LABELS, request.model, None, as_of)],
            data_dir=str(self._directory),
            output_dir=str(output),
        )

    async def _worked(self, job: Job, output: Path, request: TrainingRequest) -> None:
        async with worker_process.started(job, output, threads=self._settings.threads) as process:
            async for report in worker_process.reports(process):
                await self._relay(report, job.run_id, request)

    async def _relay(self, report: Report, run: str, request: TrainingRequest) -> None:
        now = self._clock.now()
        if isinstance(report, Progressed):
            progress = TrainingProgress(
                run_id=run, model=request.model, at=now, stage=report.stage, share=report.share, metrics=report.metrics
            )
            with contextlib.suppress(TransientError):  # the next one says more
                await self._say(
                    progress, request.model, derived_id("progress", run, report.stage, f"{report.share:.4f}")
                )
        elif isinstance(report, Materialised):
            dataset = DatasetVersion.model_validate(report.version)
            materialized = DatasetMaterialized(run_id=run, model=request.model, at=now, dataset=dataset)
            await self._say(materialized, request.model, derived_id("dataset", run, dataset.version))
            self._ledger.observe(materialized)
        elif isinstance(report, Failed) and report.code == DISK:
            raise TransientError(report.message)
        elif isinstance(report, Failed):
            raise RunError(report.code, report.message)

    async def _complete(self, job: Job, request: TrainingRequest, begun: float) -> None:
        candidate = decode(Candidate, await asyncio.to_thread(job.candidate_path.read_bytes))
        artifact = await asyncio.to_thread(job.artifact_path.read_bytes)
        now, seconds = self._clock.now(), self._clock.monotonic() - begun
        outputs = completion(
            candidate, artifact, request_id=request.request_id, seconds=seconds, at=now, sign=self._sign
        )
        won = await self._commit(job.run_id, self._ledger.offset(request.request_id), outputs)
        self._ledger.finish(request.request_id)
        measures.runs.labels("completed" if won else "repeated").inc()
        log.info("trained %s", request.model, run=job.run_id, digest=candidate.digest[:12], seconds=round(seconds, 1))
        if not self._settings.keep_runs:
            await asyncio.to_thread(_remove, Path(job.output_dir))

    async def _say(self, body: Any, model: str, identity: str) -> None:
        await self._publish([run_message(body, model=model, identity=identity, at=body.at)])


def _undefined(name: str, catalog: DefinitionCatalog, error: Exception) -> RunError:
    if isinstance(error, RefusedRecordError):
        expected = f"{name} learns from {catalog.models[name].spec.feature_set}, which was never applied"
        return RunError("unknown_feature_set", f"{expected}. Apply its FeatureSet: headrace apply -f FILE.")
    there = ", ".join(sorted(catalog.models)) or "none yet"
    return RunError(
        "unknown_model", f"There is no Model {name}; applied are: {there}. Apply it: headrace apply -f FILE."
    )


def _remove(directory: Path) -> None:
    for file in directory.glob("*"):
        file.unlink(missing_ok=True)
    directory.rmdir()
