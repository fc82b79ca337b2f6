"""However alerts arrive, and wherever a crash comes: each is told, and one message at most is repeated."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from notifier_storm import THRESHOLD, WINDOW, Arrivals, Play
from notifier_walls import Wall

from services.notifier.ledger import Ledger
from services.notifier.storms import KIND

GAPS = st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 3.0, 61.0])
ALERT = st.tuples(
    GAPS, st.integers(0, 60), st.sampled_from(["firing", "resolved"]), st.sampled_from(["page", "inform"])
)

Drawn = list[tuple[float, int, str, str]]


def lives(drawn: Drawn) -> Drawn:
    """With an end, an alert's episode is over: what comes next is another one."""
    episodes: Counter[int] = Counter()
    found = []
    for gap, number, state, severity in drawn:
        found.append((gap, number + 100 * episodes[number], state, severity))
        episodes[number] += state == "resolved"
    return found


def arrived(drawn: Drawn) -> Arrivals:
    """The topic."""
    arrivals, second = Arrivals(), 0.0
    for gap, number, state, severity in drawn:
        second += gap
        arrivals.add(second, state, number=number, severity=severity)
    return arrivals


def wanted(drawn: Drawn, *, least: str = "inform") -> Counter[tuple[str, str]]:
    """Each state once; of an end only where the beginning was told before."""
    found: Counter[tuple[str, str]] = Counter()
    for _, number, state, severity in drawn:
        if least == "page" and severity != "page":
            continue
        if state == "firing" or found[f"ep{number}", "firing"]:
            found[f"ep{number}", state] = 1
    return found


@settings(max_examples=150)
@given(st.lists(ALERT, max_size=150).map(lives), st.sampled_from(["inform", "page"]))
def test_every_state_that_people_wait_for_is_delivered_exactly_once(drawn: Drawn, least: str) -> None:
    people, program = Wall("people", least), Wall("program", for_people=False)  # type: ignore[arg-type]
    play = asyncio.run(Play(arrived(drawn), people, program).run())
    for channel, level in (("people", least), ("program", "inform")):
        delivered = [
            (entry.episode, entry.state)
            for entry in play.scene.topic
            if entry.channel == channel and entry.status == "delivered"
        ]
        assert Counter(delivered) == wanted(drawn, least=level)
    assert all(waited <= WINDOW.total_seconds() + 10 for waited in play.told_after)


@settings(max_examples=100)
@given(st.lists(ALERT, min_size=THRESHOLD, max_size=120).map(lives), st.data())
def test_a_crash_anywhere_repeats_at_most_the_message_in_flight(drawn: Drawn, data: st.DataObject) -> None:
    whole = Wall()
    before = asyncio.run(Play(arrived(drawn), whole).run())
    cut = data.draw(st.integers(0, len(before.scene.topic)), label="entries that survive")
    written = before.scene.topic[:cut]
    survived = Ledger()
    for entry in written:
        survived.apply(entry)
    told = _messages_begun(before, cut)
    after_wall = Wall()
    end = arrived(drawn).alerts[-1][0]
    after = asyncio.run(Play(arrived(drawn), after_wall, ledger=survived, at=end).run())
    delivered = Counter(
        (each.episode, each.state) for each in [*written, *after.scene.topic] if each.status == "delivered"
    )
    assert delivered == wanted(drawn)
    repeated = _states(whole.notices[:told]) & _states(after_wall.notices)
    in_flight = _states(whole.notices[told - 1 : told])
    assert repeated <= in_flight
    again = [notice for notice in after_wall.notices if _states([notice]) & in_flight]
    assert len(again) <= 1


def _messages_begun(play: Play, cut: int) -> int:
    """How many messages had been sent, at the most, when the first ``cut`` entries stood in the ledger."""
    sent = pending = 0
    for number, entry in enumerate(play.scene.topic[: cut + 1]):
        if entry.status == "delivered" and pending:
            sent, pending = sent + 1, 0
        elif entry.status == "pending" and number < cut:
            pending += 1
    return sent + (1 if pending else 0)


def _states(notices: list) -> Counter[tuple[str, str]]:  # type: ignore[type-arg]
    found: Counter[tuple[str, str]] = Counter()
    for notice in notices:
        rows = notice.body["alerts"] if notice.kind == KIND else [notice.body]
        found.update((row["episode"], row["state"]) for row in rows)
    return found
