"""The hash chain, the fold over it, and what was in production when."""

from datetime import timedelta

import pytest
import registry_models as samples
from registry_play import Play, started

from schemas.events.contract import decode, encode
from schemas.events.registry import ChampionPromoted, RegistryEvent, Rollback, ServingConfirmed, ServingRefused
from services.registry import audit, history
from services.registry.audit import Head, verify
from services.registry.evolution import BrokenLogError, fold
from services.registry.projection import documents


@pytest.fixture
def play() -> Play:
    found = started(gates=[{"metric": "roc_auc", "min": 0.5}])
    for content in (b"one", b"two"):
        found.train(content)
    found.report(2, "loaded")
    found.command(Rollback())
    return found


def test_the_log_of_a_life_verifies_before_and_after_its_bytes_travelled(play: Play) -> None:
    assert verify(play.events) is None
    assert verify(decode(RegistryEvent, encode(event)) for event in play.events) is None


def test_an_edit_is_found_where_it_was_made(play: Play) -> None:
    for place, event in enumerate(play.events):
        forged = [*play.events[:place], event.model_copy(update={"actor": "mallory"}), *play.events[place + 1 :]]
        assert verify(forged) == place + 1


def test_an_edit_with_a_hash_made_to_fit_is_found_at_the_next_event(play: Play) -> None:
    forged = list(play.events)
    forged[3] = audit.sealed(forged[3].model_copy(update={"actor": "mallory"}))
    assert verify(forged) == 5


def test_a_fact_that_changes_its_kind_but_not_its_fields_is_an_edit() -> None:
    play = Play()
    play.apply(samples.FEATURE_SET)
    event = play.events[0].model_copy(update={"fact": ServingConfirmed(version=1)})
    other = event.model_copy(update={"fact": ServingRefused(version=1, message="")})
    assert audit.digest(event) != audit.digest(other)


def test_a_deletion_and_a_reordering_are_found(play: Play) -> None:
    events = play.events
    assert verify([*events[:2], *events[3:]]) == 3
    assert verify([*events[:2], events[3], events[2], *events[4:]]) == 3
    assert verify(events[1:]) == 1


def test_a_cut_off_tail_is_found_with_the_exported_head(play: Play) -> None:
    head = Head(play.state.sequence, play.state.head)
    assert verify(play.events, head) is None
    assert verify(play.events[:-1]) is None
    assert verify(play.events[:-1], head) == head.sequence
    assert verify([], head) == 1
    assert verify([], Head(0, "0" * 64)) is None


def test_a_field_added_to_the_contract_later_leaves_old_hashes_whole(play: Play) -> None:
    registered = next(event for event in play.events if event.fact.type == "candidate-registered")
    assert b"proposed_by" not in audit.canonical_bytes(registered)


def test_the_fold_refuses_a_broken_log(play: Play) -> None:
    assert fold(play.events) == play.state
    with pytest.raises(BrokenLogError, match="sequence 3"):
        fold([*play.events[:2], *play.events[3:]])


def test_what_was_in_production_at_a_time_is_a_fold_up_to_then(play: Play) -> None:
    promotions = [event for event in play.events if isinstance(event.fact, ChampionPromoted)]
    first, second = promotions[0].at, promotions[1].at
    live = {
        moment: {name: d.champion.version for name, d in history.at(play.events, moment).items() if d.champion}
        for moment in (first - timedelta(seconds=1), first, second - timedelta(seconds=1), second, play.now)
    }
    assert list(live.values()) == [{}, {"shade": 1}, {"shade": 1}, {"shade": 2}, {"shade": 1}]


def test_documents_carry_no_foreign_names_as_fields() -> None:
    play = started()
    play.train(b"one", metrics={"$where": 1.0, "a.b": 2.0})
    for event in play.events:
        for document in documents(play.state, event):
            assert not any("$" in key or "." in key for key in document.content)
    *_, model = documents(play.state, play.events[-1])
    versions = model.content["versions"]
    assert versions[0]["metrics"] == [{"name": "$where", "value": 1.0}, {"name": "a.b", "value": 2.0}]
