"""Everything the registry has to know again when it becomes the active instance, read from the topics to their ends."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeVar

from schemas.events.contract import Contract
from schemas.events.monitoring import ClosedWindow
from schemas.events.registry import RegistryEvent, RegistryReply
from schemas.events.training import Candidate
from schemas.reasons import RefusedRecordError
from schemas.topics import METRICS_WINDOWS, MODELS_CANDIDATES, REGISTRY_EVENTS, REGISTRY_REPLIES, Topic
from services.registry.answers import Answers
from services.registry.authority import UNAUTHORISED
from services.registry.candidates import unprobed
from services.registry.evolution import BrokenLogError, fold
from services.registry.probing import ProbeRequest
from services.registry.promotion import QualityWindows
from services.registry.state import State
from shared.errors import FatalError
from shared.logs import get_logger
from shared.records import Record, read
from shared.settings import PlatformSettings
from shared.tables import scan

C = TypeVar("C", bound=Contract)

log = get_logger(__name__)


async def folded(settings: PlatformSettings) -> State:
    """The state after all of registry.events. Raises `FatalError` where the log is broken: nothing may be decided on it."""
    state = State()
    async for records in scan(settings, REGISTRY_EVENTS):
        try:
            state = fold([_event(record, state) for record in records], state)
        except BrokenLogError as error:
            raise FatalError(str(error)) from None
    return state


async def answered(settings: PlatformSettings) -> Answers:
    """The replies that are still on their topic."""
    answers = Answers()
    async for records in scan(settings, REGISTRY_REPLIES):
        for reply in _readable(RegistryReply, records, REGISTRY_REPLIES):
            if (
                reply.code != UNAUTHORISED
            ):  # whoever may give the command may still do so; the others get the same answer again
                answers.remember(reply)
    return answers


async def quality_windows(settings: PlatformSettings, state: State) -> QualityWindows:
    """The quality windows of every champion that has a challenger, and of the challenger."""
    windows = QualityWindows()
    wanted = {
        (model.name, version)
        for model in state.models.values()
        if model.challenger is not None and model.champion is not None
        for version in (model.champion.number, model.challenger.version)
    }
    if wanted:
        async for records in scan(settings, METRICS_WINDOWS):
            for window, record in _with_record(ClosedWindow, records, METRICS_WINDOWS):
                if (window.model, window.version) in wanted:
                    windows.observe(window, datetime.fromtimestamp(record.timestamp / 1000, UTC))
    return windows


async def probe_requests(settings: PlatformSettings, state: State) -> list[ProbeRequest]:
    """What is still to be probed: the predecessor may have ended in the middle of it."""
    waiting = {(model, version.candidate_id, version.digest): version for model, version in unprobed(state)}
    requests: dict[tuple[str, str, str], ProbeRequest] = {}
    if waiting:
        async for records in scan(settings, MODELS_CANDIDATES):
            for candidate, record in _with_record(Candidate, records, MODELS_CANDIDATES):
                key = (candidate.model, candidate.candidate_id, candidate.digest)
                feature_set = state.feature_set(candidate.feature_set)
                if key not in waiting or feature_set is None:
                    continue
                if waiting[key].offer in ("", sha256(record.value or b"").hexdigest()):
                    requests[key] = ProbeRequest(candidate.model, waiting[key].number, candidate, feature_set)
    return list(requests.values())


def _with_record(cls: type[C], records: Sequence[Record], topic: Topic) -> Iterator[tuple[C, Record]]:
    """Bodies with their records: of several candidates under one id, the one that was registered counts; of windows, their time."""
    for record in records:
        for found in _readable(cls, [record], topic):
            yield found, record


def _event(record: Record, state: State) -> RegistryEvent:
    try:
        return read(RegistryEvent, record)[1]
    except RefusedRecordError as error:
        message = f"registry.events@{record.offset} is not a registry event ({error}); the log is broken after sequence {state.sequence}."
        raise FatalError(message) from None


def _readable(cls: type[C], records: Sequence[Record], topic: Topic) -> list[C]:
    found = []
    for record in records:
        try:
            found.append(read(cls, record)[1])
        except RefusedRecordError as error:
            log.warning(f"a record was passed over: {error}", origin=f"{topic.name}@{record.offset}")
    return found
