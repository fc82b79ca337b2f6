"""From a request's records to answers: judge, publish, wait for the acknowledgement."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from services.ingestion import problems
from services.ingestion.definitions import Definitions
from services.ingestion.judging import Accepted, Kind, Refused, Request, Submission, Verdict, judge
from services.ingestion.problems import Problem, ProblemError
from services.ingestion.settings import IngestionSettings
from services.ingestion.tokens import Permission
from shared import tracing
from shared.clock import Clock
from shared.errors import PermanentError, TransientError
from shared.records import Outgoing

CHUNK: Final = 500  # records judged at a stretch
_POLL_SECONDS: Final = 0.02


class Written(Protocol):
    """Where a record stands."""

    @property
    def topic(self) -> str:
        """The physical topic."""
        ...

    @property
    def partition(self) -> int:
        """The partition of its key."""
        ...

    @property
    def offset(self) -> int:
        """Its place."""
        ...


class Publish(Protocol):
    """Publishes and waits for every acknowledgement; raises `TransientError` or `PermanentError`."""

    async def __call__(self, *outgoing: Outgoing) -> Sequence[Written]:
        """Where the records stand, in order."""
        ...


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """An accepted record, as it is told to the client."""

    id: str
    topic: str
    partition: int
    offset: int

    def document(self) -> dict[str, Any]:
        """The body of a 202."""
        return {"id": self.id, "topic": self.topic, "partition": self.partition, "offset": self.offset}


Answer = Receipt | Problem


@dataclass(frozen=True, slots=True)
class Origin:
    """What a request's own headers say: CloudEvents attributes and trace context."""

    attributes: Mapping[str, Any]
    traceparent: str | None


class Edge:
    """One for the process. ``count(kind, status)`` is told every answer to a record."""

    def __init__(
        self,
        settings: IngestionSettings,
        *,
        definitions: Definitions,
        publish: Publish,
        clock: Clock,
        count: Callable[[str, int], None],
    ) -> None:
        self._settings = settings
        self._definitions = definitions
        self._publish = publish
        self._clock = clock
        self._count = count

    async def submit(
        self, submissions: Sequence[Submission], kind: Kind, permission: Permission, origin: Origin
    ) -> list[Answer]:
        """One answer per submission, in order; what is accepted is published in that order, all acknowledged together.

        Raises `ProblemError` where the broker did not take them: then nothing is known of any accepted one.
        """
        request = Request(
            source=permission.default_source(self._settings.source),
            trace=tracing.child(origin.traceparent),
            now=self._clock.now(),
            attributes=origin.attributes,
        )
        verdicts = [_permitted(each, permission) for each in await self._judge(submissions, kind, request)]
        accepted = [each for each in verdicts if isinstance(each, Accepted)]
        identity = accepted[0].id if len(submissions) == 1 and accepted else None
        written = iter(await self._write([each.outgoing for each in accepted], kind, identity))
        answers: list[Answer] = []
        for each in verdicts:
            if isinstance(each, Accepted):
                place = next(written)
                answers.append(Receipt(each.id, place.topic, place.partition, place.offset))
            else:
                answers.append(each)
            self._count(kind.name, 202 if isinstance(each, Accepted) else each.status)
        return answers

    async def _judge(self, submissions: Sequence[Submission], kind: Kind, request: Request) -> list[Verdict]:
        changes = self._definitions.changes
        verdicts = await self._verdicts(submissions, kind, request)
        unknown = any(isinstance(each, Refused) and each.unknown_name for each in verdicts)
        if unknown and await self._definitions_changed(changes):
            return await self._verdicts(submissions, kind, request)
        return verdicts

    async def _verdicts(self, submissions: Sequence[Submission], kind: Kind, request: Request) -> list[Verdict]:
        found: list[Verdict] = []
        for start in range(0, len(submissions), CHUNK):
            found.extend(judge(submissions[start : start + CHUNK], kind, self._definitions, request))
            await asyncio.sleep(0)  # other requests get their turn
        return found

    async def _definitions_changed(self, since: int) -> bool:
        """Whether a definition came in: right after ``headrace apply`` it may still be on its way to this process."""
        deadline = self._clock.monotonic() + self._settings.definition_seconds
        while self._definitions.changes == since and self._clock.monotonic() < deadline:  # noqa: ASYNC110 - domain code has no events to wait for
            await asyncio.sleep(_POLL_SECONDS)
        return self._definitions.changes != since

    async def _write(self, outgoing: Sequence[Outgoing], kind: Kind, identity: str | None) -> Sequence[Written]:
        if not outgoing:
            return ()
        try:
            return await self._publish(*outgoing)
        except TransientError as error:
            self._count(kind.name, 503)
            raise ProblemError(problems.unknown_outcome(str(error), identity)) from error
        except PermanentError as error:
            self._count(kind.name, 502)
            raise ProblemError(problems.broker_refused(str(error))) from error


def _permitted(verdict: Verdict, permission: Permission) -> Accepted | Problem:
    if isinstance(verdict, Refused):
        return problems.refused(verdict)
    if not permission.allows(verdict.source):
        return problems.forbidden(verdict.source, verdict.id)
    return verdict
