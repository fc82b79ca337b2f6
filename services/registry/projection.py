"""The registry's state as documents, for people and pages: one a model, one a definition, one an event. Pure.

Names that others chose (of metrics, inside of definitions) never become field names: Mongo refuses some of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.envelope import format_time
from schemas.events.contract import encode
from schemas.events.registry import DefinitionApplied, RegistryEvent
from services.registry.state import ModelState, State, Version

MODELS: Final = "models"
DEFINITIONS: Final = "definitions"
HISTORY: Final = "history"


@dataclass(frozen=True, slots=True)
class Document:
    """A document and where it goes."""

    collection: str
    key: str
    content: dict[str, Any]


def documents(state: State, event: RegistryEvent) -> Iterator[Document]:
    """What ``event`` changes; ``state`` is the one after it."""
    at = format_time(event.at)
    head = {"sequence": event.sequence, "model": event.model, "type": event.fact.type, "actor": event.actor, "at": at}
    yield Document(HISTORY, f"{event.sequence:012d}", {**head, "event": encode(event).decode()})
    if isinstance(event.fact, DefinitionApplied):
        yield Document(
            DEFINITIONS,
            event.model,
            {"revision": event.revision, "definition": msgspec.json.encode(event.fact.definition).decode(), "at": at},
        )
    else:
        yield Document(MODELS, event.model, {**model_document(state.model(event.model)), "at": at})


def model_document(model: ModelState) -> dict[str, Any]:
    """A model with all its versions."""
    challenger = model.challenger
    return {
        "name": model.name,
        "revision": model.revision,
        "champion": model.line[-1] if model.line else None,
        "line": list(model.line),
        "challenger": None
        if challenger is None
        else {"version": challenger.version, "route": challenger.route, "share": challenger.share},
        "versions": [_version(model.versions[number]) for number in sorted(model.versions)],
    }


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "stage": version.stage,
        "digest": version.digest,
        "feature_set": version.feature_set,
        "source": version.source,
        "metrics": [{"name": name, "value": value} for name, value in sorted(version.metrics.items())],
        "latency_ms": version.latency_ms,
        "probe": version.probe.value,
        "probe_code": version.probe_code,
        "gates": version.gates.value,
        "approvals": list(version.approvals),
        "rejected": version.rejected,
        "serving": version.serving.value,
        "was_champion": version.was_champion,
    }
