"""What people are told, and that nothing from outside can speak with our voice."""

import json
from datetime import timedelta

import pytest
from notifier_scene import AT, alert, event

from schemas.events.monitoring import Evidence
from schemas.events.registry import (
    CandidateRefused,
    ChampionRolledBack,
    GatesEvaluated,
    ServingConfirmed,
    ServingRefused,
)
from services.notifier.blocks import blocks, fallback
from services.notifier.notices import Notice, loud_enough, of_alert, of_registry, silenced


def _notice(**changes: object) -> Notice:
    notice = of_alert(alert(**changes))  # type: ignore[arg-type]
    assert notice is not None
    return notice


def test_a_pending_alert_is_nobodys_business() -> None:
    assert of_alert(alert("pending")) is None


def test_a_silence_counts_in_the_alerts_own_time() -> None:
    assert not silenced(alert())
    assert silenced(alert(silenced_until=AT + timedelta(hours=6)))
    assert not silenced(alert(silenced_until=AT + timedelta(hours=6), updated_at=AT + timedelta(hours=6)))


def test_a_candidate_that_was_known_is_no_warning() -> None:
    known = CandidateRefused(candidate_id="c", digest="ab" * 32, code="known", message="the same", version=1)
    notice = of_registry(event(known), needs_approval=False)
    assert notice is not None
    assert notice.severity == "inform"


def test_mentions_and_links_from_outside_are_escaped_everywhere() -> None:
    evidence = (Evidence(channel="feature:<!here>", statistic="<http://x|y>", value=1.0, threshold=None),)
    notice = _notice(evidence=evidence, runbook="<!everyone> @here")
    text = json.dumps([blocks(notice), fallback(notice)], ensure_ascii=False)
    assert "<" not in text
    assert ">" not in text
    assert "@here" not in text
    assert "&lt;!channel&gt;" in text


def test_blocks_keep_slacks_limits() -> None:
    many = tuple(
        Evidence(channel=f"feature:{n}" + "x" * 3000, statistic="psi", value=1, threshold=1) for n in range(40)
    )
    found = blocks(_notice(evidence=many, summary="&" * 5000))
    assert len(found[0]["text"]["text"]) <= 150
    assert len(found[1]["text"]["text"]) <= 3000
    assert all(len(block["fields"]) <= 10 for block in found if "fields" in block)
    assert all(len(item["text"]) <= 2000 for block in found for item in block.get("fields", []))
    assert len(found) <= 50


def test_a_resolved_alert_continues_the_firing_one() -> None:
    assert _notice(state="resolved").opening == "firing"
    assert _notice().opening is None


def test_promotions_and_rollbacks_are_told() -> None:
    promoted = of_registry(event(), needs_approval=False)
    rolled_back = of_registry(event(ChampionRolledBack(version=1, digest="ab" * 32, previous=2)), needs_approval=False)
    assert promoted is not None
    assert rolled_back is not None
    assert promoted.title == "trip-late v2 is champion"
    assert rolled_back.severity == "warn"


def test_passed_gates_ask_for_approval_only_where_people_approve() -> None:
    passed = event(GatesEvaluated(version=3, passed=True, results=()))
    asked = of_registry(passed, needs_approval=True)
    assert asked is not None
    assert "headrace models approve trip-late 3" in asked.text
    assert of_registry(passed, needs_approval=False) is None


def test_what_nobody_waits_for_is_not_told() -> None:
    assert of_registry(event(ServingConfirmed(version=2)), needs_approval=True) is None


def test_a_version_that_cannot_be_served_pages() -> None:
    notice = of_registry(event(ServingRefused(version=2, message="boom")), needs_approval=False)
    assert notice is not None
    assert notice.severity == "page"


@pytest.mark.parametrize(
    ("severity", "least", "sent"), [("page", "warn", True), ("warn", "warn", True), ("inform", "warn", False)]
)
def test_a_channel_hears_what_is_loud_enough(severity: str, least: str, sent: bool) -> None:  # noqa: FBT001
    assert loud_enough(severity, least) is sent  # type: ignore[arg-type]
