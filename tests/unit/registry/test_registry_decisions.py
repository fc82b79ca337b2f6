"""What commands come to."""

import pytest
import registry_models as samples
from registry_play import Play, started

from schemas.events.registry import Approve, Promote, Reject, Rollback, StartChallenger, StopChallenger
from schemas.events.training import Lineage


@pytest.fixture
def manual() -> Play:
    """Version 1 waits for its approval."""
    play = started(approval={"mode": "manual"})
    play.train(b"one")
    return play


@pytest.fixture
def three() -> Play:
    """Versions 1, 2 and 3 went live one after the other."""
    play = started()
    for content in (b"one", b"two", b"three"):
        play.train(content)
    return play


def test_approval_makes_the_first_version_champion(manual: Play) -> None:
    assert manual.deployment is None
    assert manual.command(Approve(version=1)).status == "accepted"
    assert manual.champion == 1


def test_two_approvers_are_two_people() -> None:
    play = started(approval={"mode": "manual", "approvers": 2})
    play.train(b"one")
    assert "1 more needed" in play.command(Approve(version=1), actor="ann").message
    again = play.command(Approve(version=1), actor="ann")
    assert (again.status, again.code) == ("refused", "unauthorised")
    assert play.champion is None
    play.command(Approve(version=1), actor="bob")
    assert play.champion == 1


def test_who_imported_a_version_does_not_approve_it() -> None:
    play = started(approval={"mode": "manual"})
    play.train(b"one", lineage=Lineage(source="imported", imported_by="ann"))
    refused = play.command(Approve(version=1), actor="ann")
    assert (refused.code, refused.message) == (
        "unauthorised",
        "ann imported version 1; another person must approve it (`--as NAME` names who).",
    )
    assert play.command(Approve(version=1), actor="bob").status == "accepted"


def test_a_repeated_command_id_gets_the_same_answer_and_no_second_event(manual: Play) -> None:
    first = manual.command(Approve(version=1), id="same")
    count = len(manual.events)
    assert manual.command(Approve(version=1), id="same") == first
    assert len(manual.events) == count


def test_a_command_that_changed_something_is_known_from_the_log_alone(manual: Play) -> None:
    manual.command(Approve(version=1), id="same")
    reborn = Play()
    reborn.state, reborn.events = manual.state, []
    assert reborn.command(Reject(version=1), id="same").status == "accepted"
    assert reborn.events == []


def test_a_stale_revision_is_a_conflict(manual: Play) -> None:
    refused = manual.command(Approve(version=1), revision=1)
    assert (refused.status, refused.code) == ("refused", "conflict")
    assert manual.command(Approve(version=1), revision=manual.shade.revision).status == "accepted"


def test_unknown_models_and_versions_are_not_found(manual: Play) -> None:
    assert manual.command(Promote(version=1), model="other").code == "not_found"
    assert manual.command(Promote(version=9)).code == "not_found"


def test_promoting_what_is_live_changes_nothing(three: Play) -> None:
    assert three.command(Promote(version=3)).status == "unchanged"


def test_only_approved_and_probed_versions_are_promoted(manual: Play) -> None:
    manual.offer(b"two")
    assert "still being probed" in manual.command(Promote(version=2)).message
    manual.probe(2, code="crash")
    assert "quarantine" in manual.command(Promote(version=2)).message
    assert "quarantine" in manual.command(Approve(version=2)).message
    assert "not approved" in manual.command(Promote(version=1)).message
    manual.command(Reject(version=1))
    assert "was rejected" in manual.command(Promote(version=1)).message
    assert "was rejected" in manual.command(Approve(version=1)).message
    assert manual.deployment is None


def test_rollback_goes_back_one_champion_at_a_time(three: Play) -> None:
    for expected in (2, 1):
        assert three.command(Rollback()).status == "accepted"
        assert three.champion == expected
    refused = three.command(Rollback())
    assert (refused.status, refused.code) == ("refused", "not_found")


def test_rollback_to_a_version_takes_only_former_champions(three: Play) -> None:
    assert three.command(Rollback(version=1)).status == "accepted"
    assert three.champion == 1
    assert three.command(Rollback(version=1)).status == "unchanged"
    assert three.command(Rollback(version=3)).status == "accepted"
    three.apply(samples.model_definition(approval={"mode": "manual"}))
    three.train(b"four")
    assert three.command(Rollback(version=4)).code == "rejected"


def test_a_live_version_cannot_be_rejected(three: Play) -> None:
    assert three.command(Reject(version=3)).code == "rejected"
    assert three.command(Reject(version=2)).status == "accepted"
    three.command(Rollback())
    assert three.champion == 1


def test_a_challenger_runs_beside_the_champion_until_it_is_stopped(three: Play) -> None:
    assert three.command(StartChallenger(version=1, route="canary", share=0.2)).status == "accepted"
    deployed = three.deployment
    assert deployed is not None
    assert deployed.canary is not None
    assert (deployed.canary.version, deployed.canary.share) == (1, 0.2)
    assert three.command(StartChallenger(version=1, route="canary", share=0.2)).status == "unchanged"
    three.command(StartChallenger(version=2, route="shadow"))
    deployed = three.deployment
    assert deployed is not None
    assert (deployed.canary, [s.version for s in deployed.shadows]) == (None, [2])
    assert three.command(StopChallenger(version=1)).status == "unchanged"
    assert three.command(StopChallenger(version=2)).status == "accepted"
    assert three.deployment is not None
    assert three.deployment.shadows == ()


def test_a_challenger_needs_a_champion_other_than_itself(three: Play, manual: Play) -> None:
    assert "cannot challenge itself" in three.command(StartChallenger(version=3, route="shadow")).message
    assert "leave the share out" in three.command(StartChallenger(version=1, route="shadow", share=0.1)).message
    assert manual.command(StartChallenger(version=1, route="shadow")).code == "rejected"


def test_rejecting_a_challenger_stops_it(three: Play) -> None:
    three.command(StartChallenger(version=1, route="shadow"))
    three.command(Reject(version=1))
    assert three.facts()[-2:] == ["challenger-stopped", "version-rejected"]
    assert three.shade.challenger is None


def test_every_refusal_is_a_sentence(manual: Play) -> None:
    refusals = [
        manual.command(action)
        for action in (Promote(version=9), Promote(version=1), Rollback(), StartChallenger(version=1, route="shadow"))
    ]
    assert all(refusal.status == "refused" and refusal.message.endswith(".") for refusal in refusals)
