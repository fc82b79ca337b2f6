"""Requests of one batch against the plan in force: expired ones are told so, the others are checked and scored together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from schemas.checks import Checker, compile_checker
from schemas.definitions import FeatureSet
from schemas.reasons import Reason, Rule, reason
from services.inference.decoding import EventBody, EventToScore
from services.inference.errors import ScoringError
from services.inference.outputs import Answer
from services.inference.request_rows import RequestError, rows_of
from services.inference.requests import Request
from services.inference.responses import REASONS_LIMIT, answered, refused, tensors, unanswered
from services.inference.scoring import Scored, Scorer
from services.inference.serving_plan import ServedModel, ServingPlan, Slot
from shared.records import Outgoing


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A request to be scored, and its rows as events."""

    request: Request
    rows: Sequence[EventToScore]


class RequestAnswering:
    """Answers requests. Its only state are the checkers of the FeatureSets that were asked for."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._checkers: dict[str, tuple[FeatureSet, Checker]] = {}

    def answer(
        self, requests: Sequence[Request], plan: ServingPlan, now: datetime
    ) -> tuple[list[Outgoing], list[Scored]]:
        """One response per request, in order, and what was scored. Shadows are not asked. Never raises for a request."""
        responses: dict[int, Outgoing] = {}
        accepted: dict[str, list[_Accepted]] = {}
        for place, request in enumerate(requests):
            try:
                rows = self._rows(request, plan, now, place)
            except _ExpiredError as error:
                responses[place] = unanswered(request, "expired", str(error), now)
            except RequestError as error:
                responses[place] = refused(request, error, now)
            else:
                accepted.setdefault(request.model, []).append(_Accepted(request, rows))
        scored = [each for name, found in accepted.items() for each in self._scored(plan, plan.models[name], found)]
        answers: dict[int, list[tuple[Slot, Answer]]] = {}
        for one in scored:
            for event, answer in zip(one.events, one.answers, strict=True):
                answers.setdefault(event.position, []).append((one.slot, answer))
        for place, found in answers.items():
            responses[place] = _response(requests[place], found, now)
        return [responses[place] for place in range(len(requests))], scored

    def _rows(self, request: Request, plan: ServingPlan, now: datetime, place: int) -> list[EventToScore]:
        if request.deadline is not None and now > request.deadline:
            late = (now - request.deadline).total_seconds()
            raise _ExpiredError(f"the deadline was {late:.3f} s ago; it was not scored. Ask again with a later one.")
        if request.body is None:
            raise request.fault or RequestError("the request cannot be read.")
        model = plan.models.get(request.model)
        if model is None:
            served = ", ".join(sorted(plan.models)) or "none"
            raise RequestError(
                f"no model {request.model!r} is served (ce_model); served: {served}.",
                reason("headers.ce_model", Rule.UNKNOWN_MODEL, f"a model that is served: {served}", request.model),
            )
        definition = plan.feature_sets[model.feature_set].definition
        batch = self._checker(definition).check(rows_of(request.body, definition))
        faults = [(row, each) for row, reasons in enumerate(batch.reasons) for each in reasons]
        if faults:
            raise _rows_refused(faults)
        return [_event(request, definition, features, now, place) for features in batch.features]

    def _checker(self, definition: FeatureSet) -> Checker:
        known = self._checkers.get(definition.ref)
        if known is None or known[0] is not definition:
            known = self._checkers[definition.ref] = (definition, compile_checker(definition))
        return known[1]

    def _scored(self, plan: ServingPlan, model: ServedModel, accepted: Sequence[_Accepted]) -> list[Scored]:
        alone = replace(plan.feature_sets[model.feature_set], models=(replace(model, shadows=()),))
        return self._scorer.score(alone, [row for each in accepted for row in each.rows])


def _rows_refused(faults: Sequence[tuple[int, Reason]]) -> RequestError:
    texts = [
        f"row {row}, {each.field}: {each.rule}, expected {each.expected}, observed {each.observed}"
        for row, each in faults[:5]  # enough to mend it
    ]
    more = f" (and {len(faults) - len(texts)} more)" if len(faults) > len(texts) else ""
    reasons = [each.model_copy(update={"field": f"rows.{row}.{each.field}"}) for row, each in faults[:REASONS_LIMIT]]
    return RequestError("; ".join(texts) + more + ".", *reasons)


class _ExpiredError(Exception):
    """The deadline has passed."""


def _event(
    request: Request, definition: FeatureSet, features: dict[str, Any] | None, now: datetime, place: int
) -> EventToScore:
    """A row as the scorer takes events; the request's key is the entity, its place is the position."""
    entity = (request.record.key or b"").decode(errors="replace")
    raw = msgspec.Raw(msgspec.json.encode(features))
    body = EventBody(definition.ref, definition.spec.version, entity, now, raw)
    return EventToScore(place, request.record, request.envelope.id, request.envelope.source, None, body)


def _response(request: Request, found: Sequence[tuple[Slot, Answer]], now: datetime) -> Outgoing:
    rows, errors = [], []
    for row, (_, answer) in enumerate(found):
        if isinstance(answer, ScoringError):
            errors.append(f"row {row}: {answer}")
        else:
            rows.append(answer)
    if errors:
        return unanswered(request, "failed", "; ".join(errors[:5]), now)
    wanted = [output.name for output in request.body.outputs] if request.body is not None else []
    try:
        return answered(request, found[0][0].version, tensors(rows, wanted), now)
    except RequestError as error:
        return refused(request, error, now)
