"""A storm of alerts is one message a channel, and nobody who stands in none waits for it."""

import json
import re
from datetime import timedelta

import pytest
from notifier_storm import THRESHOLD, WINDOW, Arrivals, Play
from notifier_walls import Wall

from services.notifier.blocks import blocks, fallback
from services.notifier.delivery import MOST_FOR_A_PROGRAM, WRITTEN_AT_ONCE
from services.notifier.gathering import LONGEST_SETTLE, QUIET
from services.notifier.ledger import Ledger
from services.notifier.notices import Notice
from services.notifier.storms import KIND, WORST_SHOWN, of_storm
from shared.errors import PermanentError

MANY = 10_000
KINDS = ("drift", "latency", "errors")


def storm(count: int = MANY, *, apart: float = 0.0, start: float = 0.0) -> Arrivals:
    """``count`` alerts of 100 models, the 78th of them a page."""
    arrivals = Arrivals()
    for number in range(count):
        severity = "page" if number == 77 else "warn" if number % 10 == 0 else "inform"
        arrivals.add(start + number * apart, severity=severity, kind=KINDS[number % 3], model=f"m{number % 100}")
    return arrivals


async def test_ten_thousand_alerts_at_once_are_one_message_for_people_and_an_entry_each() -> None:
    wall, program = Wall(), Wall("program", for_people=False)
    play = await Play(storm(), wall, program).run()
    [only] = wall.notices
    assert only.title == "[STORM] 10,000 alerts at once"
    assert len(program.notices) == MANY // MOST_FOR_A_PROGRAM
    assert max(len(json.dumps(notice.body)) for notice in program.notices) < 1_000_000
    for channel in ("wall", "program"):
        told = [entry for entry in play.scene.topic if entry.channel == channel]
        assert [entry.status for entry in told].count("pending") == MANY
        assert {entry.notification_id for entry in told if entry.status == "delivered"} == {
            entry.notification_id for entry in told
        }
    assert play.scene.writes <= 4 * MANY / WRITTEN_AT_ONCE + 4


async def test_the_message_counts_names_the_worst_and_says_how_to_list_the_rest() -> None:
    wall = Wall()
    await Play(storm(200), wall).run()
    [only] = wall.notices
    assert only.severity == "page"
    assert only.text == (
        "1 page, 20 warn, 179 inform. States: 200 firing. Kinds: 67 drift, 67 latency, 66 errors. "
        "Models: m0 (2), m1 (2), m10 (2) and 97 more. List them all: `headrace alerts list`. The worst:"
    )
    assert only.facts[0][0] == "[PAGE] m77 v1: errors"
    assert len(only.facts) == WORST_SHOWN + 1
    assert only.facts[-1] == ("More", "192 others: `headrace alerts list`")


async def test_a_program_gets_a_row_for_every_state_of_every_alert() -> None:
    arrivals = storm(50)
    arrivals.add(0.0, "resolved", number=7)
    program = Wall("program", for_people=False)
    await Play(arrivals, program).run()
    [only] = program.notices
    assert only.kind == KIND
    body = json.loads(json.dumps(only.body))
    assert (body["count"], body["states"]) == (50, {"resolved": 1, "firing": 49})
    assert [(row["fingerprint"], row["state"]) for row in body["alerts"]] == [
        *((f"fp{number}", "firing") for number in range(50)),
        ("fp7", "resolved"),
    ]


async def test_the_resolved_alerts_of_a_storm_come_as_one_too() -> None:
    arrivals = storm(300)
    for number in range(300):
        arrivals.add(3600.0, "resolved", number=number)
    wall = Wall()
    await Play(arrivals, wall).run()
    assert [notice.title for notice in wall.notices] == [
        "[STORM] 300 alerts at once",
        "[RESOLVED] 300 alerts of a storm",
    ]
    assert wall.notices[1].state == "resolved"
    assert "`headrace alerts list --all`" in wall.notices[1].text


async def test_the_end_of_alerts_that_nobody_was_told_of_is_no_news() -> None:
    arrivals = Arrivals()
    for _ in range(300):
        arrivals.add(0.0, "resolved")
    wall = Wall()
    await Play(arrivals, wall).run()
    assert wall.notices == []


async def test_an_alert_of_a_storm_that_ends_later_is_told_by_itself() -> None:
    arrivals = storm(100)
    arrivals.add(600.0, "resolved", number=3, model="m3")
    wall = Wall()
    await Play(arrivals, wall).run()
    assert wall.sent == [("firing", None), ("resolved", None)]
    assert wall.notices[1].title == "[RESOLVED] m3 v1: drift"


@pytest.mark.parametrize("count", [1, THRESHOLD - 1])
async def test_below_the_threshold_each_alert_is_told_at_once_by_its_own_message(count: int) -> None:
    wall = Wall()
    play = await Play(storm(count), wall).run()
    assert [notice.episode for notice in wall.notices] == [f"ep{number}" for number in range(count)]
    assert wall.notices[0].facts
    assert play.scene.slept == []


async def test_the_threshold_counts_what_comes_within_the_window_and_nothing_more() -> None:
    wall = Wall()
    play = await Play(storm(60, apart=WINDOW.total_seconds() / (THRESHOLD - 2)), wall).run()
    assert len(wall.notices) == 60
    assert play.scene.slept == []


async def test_a_storm_that_comes_in_several_batches_is_told_once_it_has_settled() -> None:
    arrivals = storm(2000)
    for batch in range(1, 5):
        for _ in range(2000):
            arrivals.add(batch * QUIET * 0.9)
    wall = Wall()
    play = await Play(arrivals, wall).run()
    assert [notice.title for notice in wall.notices] == ["[STORM] 10,000 alerts at once"]
    assert play.told_after[0] <= LONGEST_SETTLE


async def test_a_storm_that_trickles_in_is_one_message_a_window() -> None:
    wall = Wall()
    play = await Play(storm(1200, apart=0.5), wall).run()  # ten minutes
    single = [notice for notice in wall.notices if not notice.title.startswith("[STORM]")]
    assert len(single) < THRESHOLD
    assert len(wall.notices) - len(single) <= 600 / WINDOW.total_seconds() + 2
    assert max(play.told_after) <= WINDOW.total_seconds() + QUIET
    assert len({entry.episode for entry in play.scene.topic if entry.status == "delivered"}) == 1200


async def test_what_is_louder_than_the_storm_so_far_is_told_without_waiting_for_its_next_message() -> None:
    arrivals = Arrivals()
    for number in range(300):
        arrivals.add(number * 0.5, severity="page" if number == 150 else "inform")
    wall = Wall()
    play = await Play(arrivals, wall).run()
    first_page = next(notice for notice in wall.notices if notice.severity == "page")
    assert "1 page" in first_page.text or first_page.episode == "ep150"
    assert play.told_after[150] <= 2 * QUIET


async def test_the_second_storm_of_a_day_is_told_as_fast_as_the_first() -> None:
    arrivals = storm(50)
    for _ in range(50):
        arrivals.add(7200.0)
    wall = Wall()
    play = await Play(arrivals, wall).run()
    assert len(wall.notices) == 2
    assert max(play.told_after) <= QUIET


async def test_an_alert_after_the_storm_is_told_at_once() -> None:
    arrivals = storm(500)
    arrivals.add(WINDOW.total_seconds() + 1)
    wall = Wall()
    play = await Play(arrivals, wall).run()
    assert len(wall.notices) == 2
    assert play.told_after[-1] == 0.0


async def test_a_storm_that_a_channel_does_not_hear_keeps_nothing_from_it() -> None:
    arrivals = Arrivals()
    for _ in range(500):
        arrivals.add(0.0, severity="inform")
    arrivals.add(0.0, severity="page")
    wall = Wall(least="page")
    play = await Play(arrivals, wall).run()
    assert [notice.title for notice in wall.notices] == ["[PAGE] trip-late v1: drift"]
    assert play.scene.slept == []


async def test_a_process_that_ends_waits_for_no_window() -> None:
    arrivals = storm(60)
    for _ in range(5):
        arrivals.add(10.0)
    wall = Wall()
    play = Play(arrivals, wall)
    await play.run(last=60)
    await play.gathering.hurry()
    await play.run(first=60)
    assert [notice.title for notice in wall.notices] == ["[STORM] 60 alerts at once", "[STORM] 5 alerts at once"]
    assert play.told_after[60] == 0.0


async def test_where_the_topic_cannot_be_read_ahead_alerts_are_told_alone() -> None:
    arrivals, wall = storm(30), Wall()
    arrivals.unreadable = True
    await Play(arrivals, wall).run()
    assert len(wall.notices) == 30


CUTS = [0, 1, 150, 299, 300, 301, 450, 595, 599, 600]


@pytest.mark.parametrize("cut", CUTS)
async def test_a_crash_anywhere_repeats_at_most_one_message_and_loses_none(cut: int) -> None:
    """Of 300 alerts the ledger has 300 times pending, then 300 times delivered: any beginning of that may survive."""
    wall = Wall()
    before = await Play(storm(300), wall).run()
    assert (len(wall.notices), len(before.scene.topic)) == (1, 600)
    survived = Ledger()
    for entry in before.scene.topic[:cut]:
        survived.apply(entry)
    after = await Play(storm(300), wall, ledger=survived, at=30.0).run()
    assert len(wall.notices) == (1 if cut == 600 else 2)
    delivered = [
        entry.episode for entry in [*before.scene.topic[:cut], *after.scene.topic] if entry.status == "delivered"
    ]
    assert sorted(delivered) == sorted(f"ep{number}" for number in range(300))


async def test_a_channel_that_refuses_everything_fails_one_alert_at_a_time_and_does_not_fill_the_ledger() -> None:
    wall = Wall(errors=[PermanentError("no such hook") for _ in range(4)])
    play = Play(storm(300), wall)
    for offset in range(2):
        with pytest.raises(PermanentError):
            await play.run(first=offset, last=offset + 1)
    await play.run(first=2)
    statuses = [entry.status for entry in play.scene.topic]
    assert (statuses.count("failed"), statuses.count("delivered")) == (2, 298)
    assert statuses.count("pending") <= 300 + 2  # once each, and once more for those that were tried alone


async def test_a_storm_that_is_too_large_for_a_channel_is_told_in_smaller_parts_and_nobody_is_lost() -> None:
    class Narrow(Wall):
        async def send(self, notice: Notice, opened: str | None) -> str | None:
            found = re.search(r"(\d+) alerts at once", notice.title)
            if found is not None and int(found[1]) > 50:
                raise PermanentError("413: too long")
            return await super().send(notice, opened)

    wall = Narrow()
    play = Play(storm(300), wall)
    await play.run()
    statuses = [entry.status for entry in play.scene.topic]
    assert (statuses.count("failed"), statuses.count("delivered")) == (0, 300)
    assert len(wall.notices) < 20


async def test_the_storms_message_keeps_slacks_limits_and_mentions_nobody() -> None:
    wall, arrivals = Wall(), Arrivals()
    for number in range(400):
        arrivals.add(0.0, model=f"<!channel>{number}" + "x" * 300, summary="<@U1> @here " * 900)
    await Play(arrivals, wall).run()
    shown = blocks(wall.notices[0])
    assert all(len(block["text"]["text"]) <= 3000 for block in shown if "text" in block)
    assert all(len(item["text"]) <= 2000 for block in shown for item in block.get("fields", ()))
    text = json.dumps([shown, fallback(wall.notices[0])], ensure_ascii=False)
    assert "<" not in text
    assert "@here" not in text
    assert len(json.dumps(shown)) < 50_000


def test_the_same_storm_is_the_same_message() -> None:
    arrivals = storm(100)
    notices = [arrivals.waiting(offset).notice for offset in range(100)]
    assert of_storm(notices) == of_storm(list(notices))
    assert timedelta(seconds=LONGEST_SETTLE) < WINDOW
