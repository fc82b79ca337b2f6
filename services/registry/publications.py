"""What is published for a decision: events, definitions in force, deployments, and the reply. Pure."""

from datetime import datetime
from typing import Final

from schemas.envelope import header
from schemas.events.registry import DefinitionApplied, DefinitionRecord, RegistryEvent, RegistryReply
from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import DEFINITIONS, DEPLOYMENTS, REGISTRY_EVENTS, REGISTRY_REPLIES, Topic
from services.registry.deployments import changed, deployment
from services.registry.journal import Recorded
from services.registry.state import State
from shared.records import Outgoing, Record, message

SOURCE: Final = "headrace/registry"


def of_decision(before: State, recorded: Recorded, trace: str | None) -> list[Outgoing]:
    """The events of a decision, and the definitions and deployments that they change.

    Raises `RefusedRecordError` where one of them would be longer than its topic takes: then nothing may be written.
    """
    outgoing: list[Outgoing] = []
    for event in recorded.events:
        outgoing.append(_event(event, trace))
        if isinstance(event.fact, DefinitionApplied):
            outgoing.append(_definition(event, event.fact, trace))
    for name in dict.fromkeys(event.model for event in recorded.events if event.model in recorded.state.models):
        old = deployment(before.model(name), recorded.events[-1].at)
        new = deployment(recorded.state.model(name), recorded.events[-1].at)
        if new is not None and changed(old, new):
            outgoing.append(
                message(
                    DEPLOYMENTS,
                    new,
                    key=name,
                    source=SOURCE,
                    id=f"{name}/{new.revision}",
                    time=new.at,
                    traceparent=trace,
                )
            )
    for each in outgoing:
        size, most = len(each.value or b""), each.topic.max_body_bytes
        if size > most:
            place = f"{each.topic.name} of {(each.key or b'').decode()}"
            raise RefusedRecordError((reason(place, Rule.OUTPUT_TOO_LARGE, f"at most {most} bytes", f"{size} bytes"),))
    return outgoing


def reply(body: RegistryReply, at: datetime, trace: str | None) -> Outgoing:
    """The answer to a command."""
    return message(
        REGISTRY_REPLIES, body, key=body.command_id, source=SOURCE, id=body.command_id, time=at, traceparent=trace
    )


def type_header(item: Record) -> str | None:
    """What kind of message a record says it is."""
    return header(item.headers, "ce_type")


def unknown_type(topic: Topic | None, kind: str | None) -> RefusedRecordError:
    """A record that does not belong where it stands."""
    expected = "one of " + ", ".join(topic.messages) if topic is not None else "a topic of the catalogue"
    rule = Rule.MISSING_HEADER if kind is None else Rule.UNKNOWN_TYPE
    return RefusedRecordError((reason("headers.ce_type", rule, expected, kind or "absent"),))


def _event(event: RegistryEvent, trace: str | None) -> Outgoing:
    return message(
        REGISTRY_EVENTS, event, key=event.model, source=SOURCE, id=str(event.sequence), time=event.at, traceparent=trace
    )


def _definition(event: RegistryEvent, fact: DefinitionApplied, trace: str | None) -> Outgoing:
    body = DefinitionRecord(
        kind=fact.kind, name=fact.name, major=fact.major, revision=fact.revision, definition=fact.definition
    )
    return message(
        DEFINITIONS,
        body,
        key=event.model,
        source=SOURCE,
        id=f"{event.model}/{fact.revision}",
        time=event.at,
        traceparent=trace,
    )
