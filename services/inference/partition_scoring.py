"""One partition: batches of events and requests in; predictions, responses, ticks and dead letters out, in their order."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, Protocol

from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import encode
from schemas.events.inference import ServingStarted
from schemas.identities import SERVING, derived_id
from schemas.reasons import RefusedRecordError
from schemas.topics import INFERENCE_REQUESTS, INFERENCE_STATUS, PREDICTIONS
from services.inference.answering import RequestAnswering
from services.inference.decoding import EventToScore, decode
from services.inference.predictions import SOURCE, PredictionWriter
from services.inference.requests import Request, read_request
from services.inference.scoring import Scored, Scorer, row_milliseconds
from services.inference.serving_plan import CurrentPlan, FeatureSetPlan, ServingPlan, Slot
from shared.clock import Clock
from shared.dead_letters import code_of, dead_letter, replay_origin
from shared.noted_positions import without_notes
from shared.records import Outgoing, Record

SERVICE: Final = "inference"
MAX_WRITERS: Final = 256
Positions = Sequence[int]
Run = tuple[
    Positions, Sequence[Outgoing]
]  # outputs, and the position in the batch of the record that each follows from


class Observer(Protocol):
    """Is told what was scored, for metrics."""

    def scored(self, scored: Scored) -> None:
        """One slot answered one batch."""
        ...


class PartitionScoring:
    """Scores one partition; implements `shared.transactions.PartitionProcessor`.

    Its only state is which models have a `ServingStarted` for this partition. A batch that is not committed ends the
    process or closes this, so that state is never ahead of the log.
    """

    def __init__(
        self,
        partition: int,
        started: Iterable[str],
        *,
        plan: CurrentPlan,
        scorer: Scorer,
        observer: Observer,
        clock: Clock,
    ) -> None:
        """``started``: the models whose `ServingStarted` for this partition stands on inference.status."""
        self._partition = partition
        self._started = set(started)
        self._plan = plan
        self._scorer = scorer
        self._observer = observer
        self._clock = clock
        self._answering = RequestAnswering(scorer)
        self._writers: dict[tuple[str, int, str], PredictionWriter] = {}

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """What follows from ``records``, under the plan that is in force now."""
        plan = self._plan()
        began_ms = int(self._clock.now().timestamp() * 1000)
        runs, by_set, requests = self._sort_out(records, plan)
        for feature_set, events in by_set.items():
            runs.extend(self._score(plan.feature_sets[feature_set], events, began_ms))
        if requests:
            runs.append(self._answer(requests, plan))
        return _in_order(runs)

    def close(self) -> None:
        """Nothing is held."""

    def _sort_out(
        self, records: Sequence[Record], plan: ServingPlan
    ) -> tuple[list[Run], dict[str, list[EventToScore]], list[Request]]:
        """Ticks and dead letters; events of the FeatureSets that are served (others need nothing); requests."""
        requests: list[Request] = []
        positions: list[int] = []
        passed: list[Outgoing] = []
        by_set: dict[str, list[EventToScore]] = {feature_set: [] for feature_set in plan.feature_sets}
        topic, asked = "", False
        for position, record in enumerate(records):
            if record.topic != topic:
                topic = record.topic
                asked = topic.endswith(INFERENCE_REQUESTS.name)
            try:
                found = read_request(record, position) if asked else decode(record, position)
            except RefusedRecordError as error:
                positions.append(position)
                passed.append(
                    dead_letter(record, service=SERVICE, code=code_of(error), message=str(error), clock=self._clock)
                )
                continue
            if isinstance(found, EventToScore):
                events = by_set.get(found.body.feature_set)
                if events is not None:
                    events.append(found)
            elif isinstance(found, Request):
                requests.append(found)
            else:
                positions.append(position)
                passed.append(without_notes(Outgoing(PREDICTIONS, record.key, record.value, record.headers)))
        served = {feature_set: events for feature_set, events in by_set.items() if events}
        return [(positions, passed)], served, requests

    def _answer(self, requests: Sequence[Request], plan: ServingPlan) -> Run:
        responses, scored = self._answering.answer(requests, plan, self._clock.now())
        for one in scored:
            self._observer.scored(one)
        return [request.position for request in requests], responses

    def _score(self, plan: FeatureSetPlan, events: Sequence[EventToScore], began_ms: int) -> list[Run]:
        runs = [self._starts(plan, events)]
        scored = self._scorer.score(plan, events)
        at = self._clock.now()
        for one in scored:
            self._observer.scored(one)
            written = self._writer(one.slot).write(one.events, one.answers, at, began_ms, row_milliseconds(one))
            runs.append(([event.position for event in one.events], written))
        return runs

    def _starts(self, plan: FeatureSetPlan, events: Sequence[EventToScore]) -> Run:
        """What is to be said of models that serve for the first time; a replay has no offset that could be the first."""
        new = [model.name for model in plan.models if model.name not in self._started]
        first = next((event for event in events if new and replay_origin(event.record) is None), None)
        if first is None:
            return [], []
        return [first.position] * len(new), [self._serving_started(name, first.record.offset) for name in new]

    def _serving_started(self, model: str, offset: int) -> Outgoing:
        self._started.add(model)
        now = self._clock.now()
        body = ServingStarted(model=model, partition=self._partition, offset=offset, at=now)
        key = serving_key(model, self._partition)
        envelope = Envelope(derived_id("serving-started", key, str(offset)), SOURCE, ServingStarted.ce_type, now)
        return Outgoing(INFERENCE_STATUS, key.encode(), encode(body), encode_headers(envelope), 0)

    def _writer(self, slot: Slot) -> PredictionWriter:
        key = (slot.model, slot.version, slot.route)
        writer = self._writers.get(key)
        if writer is None:
            if len(self._writers) >= MAX_WRITERS:  # versions come and go
                self._writers.clear()
            writer = self._writers[key] = PredictionWriter(slot)
        return writer


def _in_order(runs: Sequence[Run]) -> Sequence[Outgoing]:
    """All outputs in the order of the records they follow from. Each run is in that order already; mostly there is one."""
    filled = [run for run in runs if run[0]]
    if len(filled) == 1:
        return filled[0][1]
    placed = [pair for positions, outputs in filled for pair in zip(positions, outputs, strict=True)]
    placed.sort(key=itemgetter(0))
    return [outgoing for _, outgoing in placed]


def serving_key(model: str, partition: int) -> str:
    """Key of a `ServingStarted` on inference.status."""
    return f"{model}/{SERVING}/{partition}"
