"""Check 4: Slack was told of every alert and registry fact that people wait for, and more often than once only for crashes."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from schemas.events.monitoring import Alert
from schemas.events.registry import RegistryEvent
from services.notifier.blocks import fallback
from services.notifier.notices import Notice, of_alert, of_registry
from tests.faults.oracle.findings import Findings
from tests.faults.reading import Seen

TOPICS: Final = ("alerts", "registry.events", "notifications", "notifier.dead-letters")

Key = tuple[str, str, str]  # subject, episode, state


def check(records: Iterable[Seen], messages: Sequence[str], *, crashes: int) -> Findings:
    """``messages``: the texts that the fake Slack has received; ``crashes``: how often a notifier ended without finishing."""
    findings = Findings("notices")
    wanted: dict[Key, set[str]] = defaultdict(set)
    for record in records:
        if record.topic == "notifier.dead-letters":
            findings.found("the notifier wrote a dead letter", json.loads(record.value or b"{}").get("message"))
        elif (notice := _notice(record)) is not None:
            wanted[notice.subject, notice.episode, notice.state].add(fallback(notice))
    received = Counter(messages)
    findings.saw("notices", len(wanted))
    findings.saw("messages", len(messages))
    extras = 0
    for key, texts in wanted.items():
        told = sum(received.pop(text, 0) for text in texts)
        if not told:
            findings.found("nobody was told", f"{key}: {next(iter(texts))}")
        extras += max(0, told - 1)
    for text in received:
        findings.found("phantom: a message that nothing explains", text)
    findings.saw("messages sent twice", extras)
    if extras > crashes:
        findings.found("more repeated messages than crashes", f"{extras} repeated, {crashes} crashes")
    return findings


def _notice(record: Seen) -> Notice | None:
    if record.value is None:
        return None
    if record.topic == "alerts":
        return of_alert(Alert.model_validate_json(record.value))
    if record.topic == "registry.events":
        return of_registry(RegistryEvent.model_validate_json(record.value), needs_approval=False)
    return None
