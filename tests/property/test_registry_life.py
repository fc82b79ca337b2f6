"""Whatever is asked of the registry, in whatever order: what must always be true of its log and its state."""

from typing import Any

import registry_models as samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_play import Play, started

from schemas.events.contract import decode, encode
from schemas.events.registry import (
    Approve,
    Promote,
    RegistryEvent,
    Reject,
    Rollback,
    StartChallenger,
    StopChallenger,
)
from schemas.events.training import Lineage
from services.registry.audit import Head, verify
from services.registry.evolution import fold
from services.registry.state import Check

versions = st.integers(1, 5)
actors = st.sampled_from(["ann", "bob", "cyd"])
actions = st.one_of(
    st.builds(Approve, version=versions),
    st.builds(Reject, version=versions),
    st.builds(Promote, version=versions),
    st.builds(Rollback, version=st.none() | versions),
    st.builds(StartChallenger, version=versions, route=st.just("shadow")),
    st.builds(StartChallenger, version=versions, route=st.just("canary"), share=st.sampled_from([None, 0.3])),
    st.builds(StopChallenger, version=versions),
)
commands = st.tuples(st.just("command"), actions, actors, st.integers(0, 30), st.none() | st.integers(0, 12))
offers = st.tuples(st.just("offer"), st.integers(0, 5), st.sampled_from([0.4, 0.8, None]), st.none() | actors)
trained = st.tuples(st.just("train"), st.integers(0, 20), st.sampled_from([0.4, 0.8]))
probes = st.tuples(st.just("probe"), versions, st.sampled_from([None, None, None, "crash"]))
reports = st.tuples(st.just("report"), versions, st.sampled_from(["loaded", "refused"]), st.integers(0, 3))
windows = st.tuples(st.just("compare"), st.lists(st.sampled_from([0.6, 0.8, 0.9]), min_size=0, max_size=9))
specs = st.fixed_dictionaries(
    {
        "approval": st.sampled_from([{"mode": "automatic"}, {"mode": "manual"}, {"mode": "manual", "approvers": 2}]),
        "rollout": st.sampled_from(
            [{"strategy": "direct"}, {"strategy": "shadow", "minWindows": 2}, {"strategy": "canary", "minWindows": 1}]
        ),
        "gates": st.sampled_from([[], [{"metric": "roc_auc", "min": 0.5}]]),
    }
)
applies = st.tuples(st.just("apply"), specs)
moves = st.one_of(commands, commands, offers, trained, probes, reports, windows, windows, applies)
lives = st.tuples(specs, st.integers(0, 3), st.lists(moves, max_size=40))


def step(play: Play, move: tuple[Any, ...]) -> None:
    kind, *what = move
    if kind == "command":
        action, actor, number, revision = what
        play.command(action, actor=actor, id=f"id-{number}", revision=revision)
    elif kind == "offer":
        number, metric, importer = what
        lineage = Lineage(source="imported", imported_by=importer) if importer else Lineage(source="trained")
        play.offer(f"content {number}".encode(), metrics={"roc_auc": metric}, lineage=lineage)
    elif kind == "train":
        train(play, *what)
    elif kind == "probe":
        play.probe(what[0], code=what[1])
    elif kind == "report" and what[0] in play.shade.versions:
        play.report(what[0], what[1], revision=max(0, play.shade.revision - what[2]))
    elif kind == "compare":
        play.compare([({"roc_auc": 0.8}, {"roc_auc": value}) for value in what[0]])
    elif kind == "apply":
        play.apply(samples.model_definition(**what[0]))


def train(play: Play, number: int, metric: float) -> None:
    """A version that passes its probe and, by hand, gets its approvals."""
    version = play.train(f"trained {number}".encode(), metrics={"roc_auc": metric})
    for actor in ("ann", "bob"):
        play.command(Approve(version=version), actor=actor)


def live(life: tuple[dict[str, Any], int, list[tuple[Any, ...]]]) -> Play:
    spec, versions_before, moves = life
    play = started(**spec)
    for number in range(versions_before):
        train(play, 100 + number, 0.8)
    for move in moves:
        step(play, move)
        holds(play)
    return play


def holds(play: Play) -> None:
    """At most one champion, and nothing served that was not probed, gated and approved."""
    model, deployed = play.shade, play.deployment
    served = [] if deployed is None else [deployed.champion, deployed.canary, *deployed.shadows]
    numbers = [version.version for version in served if version is not None]
    assert len(set(numbers)) == len(numbers) <= 2
    for number in numbers:
        version = model.versions[number]
        assert (version.probe, version.gates, version.rejected) == (Check.PASSED, Check.PASSED, None)
        assert version.approved
    for version in model.versions.values():
        assert version.proposed_by is None or version.proposed_by not in version.approvals
        assert len(set(version.approvals)) == len(version.approvals)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(lives)
def test_replaying_the_log_gives_the_same_state_and_the_chain_verifies(life: Any) -> None:
    play = live(life)
    travelled = [decode(RegistryEvent, encode(event)) for event in play.events]
    assert verify(travelled, Head(play.state.sequence, play.state.head)) is None
    assert fold(travelled) == play.state
    revisions: dict[str, int] = {}
    for event in travelled:
        assert event.revision == revisions.get(event.model, 0) + 1
        revisions[event.model] = event.revision


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(lives, actions, actors)
def test_a_command_id_changes_the_log_at_most_once_and_keeps_its_answer(life: Any, action: Any, actor: str) -> None:
    play = live(life)
    first = play.command(action, actor=actor, id="repeated")
    length = len(play.events)
    for _ in range(2):
        assert play.command(action, actor=actor, id="repeated") == first
    reborn = Play()
    reborn.state = fold(play.events)
    if any(event.command_id == "repeated" for event in play.events):
        again = reborn.command(action, actor=actor, id="repeated")
        assert (again.status, again.model) == ("accepted", first.model)
        assert reborn.events == []
    assert len(play.events) == length


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(lives, st.data())
def test_an_edit_a_deletion_and_a_reordering_are_found(life: Any, data: st.DataObject) -> None:
    events = live(life).events
    head = Head(events[-1].sequence, events[-1].hash)
    place = data.draw(st.integers(0, len(events) - 1))
    other = data.draw(st.integers(0, len(events) - 1).filter(lambda number: number != place))
    field = data.draw(st.sampled_from(["actor", "reason", "model", "command_id", "revision"]))
    value: Any = events[place].revision + 1 if field == "revision" else "mallory"
    edited = [*events]
    edited[place] = events[place].model_copy(update={field: value})
    swapped = [*events]
    swapped[place], swapped[other] = events[other], events[place]
    assert verify(edited, head) == place + 1
    assert verify([*events[:place], *events[place + 1 :]], head) == place + 1
    assert verify(swapped, head) == min(place, other) + 1
