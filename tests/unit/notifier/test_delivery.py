"""One message per channel, subject, episode and state, whatever is repeated or fails."""

from datetime import timedelta

import pytest
from notifier_scene import alert
from notifier_walls import Scene, Wall

from services.notifier.delivery import BusyError
from services.notifier.lateness import WORST_SHOWN, Overdue, length
from services.notifier.ledger import Ledger
from services.notifier.notices import Notice, of_alert
from shared.errors import PermanentError, TransientError


def overdue(number: int, state: str = "firing", **changes: object) -> Overdue:
    notice = of_alert(alert(state, episode=f"ep{number}", **changes))  # type: ignore[arg-type]
    assert notice is not None
    return Overdue(notice, timedelta(hours=3, minutes=-number))


async def test_a_message_is_pending_before_it_is_sent_and_delivered_after() -> None:
    wall = Wall()
    scene = Scene(wall)
    await scene.tell()
    assert scene.statuses == ["pending", "delivered"]
    assert scene.topic[-1].reference == "m1"


async def test_a_repeated_record_sends_nothing() -> None:
    wall = Wall()
    scene = Scene(wall)
    await scene.tell()
    await scene.tell()
    assert wall.sent == [("firing", None)]


async def test_a_crash_between_sending_and_the_ledger_repeats_one_message() -> None:
    wall = Wall()
    before = Scene(wall)
    await before.tell(episode="ep0")
    await before.tell()
    survived = Ledger()
    for entry in before.topic[:-1]:  # ep1's "delivered" was never written
        survived.apply(entry)
    after = Scene(wall, ledger=survived)
    await after.tell(episode="ep0")
    await after.tell()
    assert len(wall.sent) == 3
    assert after.topic[-1].attempts == 2


async def test_the_end_is_told_only_where_the_beginning_was() -> None:
    quiet, loud = Wall("quiet", "page"), Wall("loud")
    scene = Scene(quiet, loud)
    await scene.tell("firing")
    await scene.tell("resolved")
    await scene.tell("resolved", episode="unheard")
    assert quiet.sent == []
    assert loud.sent == [("firing", None), ("resolved", "m1")]


async def test_a_busy_channel_is_left_alone_for_as_long_as_it_asks() -> None:
    wall = Wall(errors=[BusyError("429", 17.0)])
    scene = Scene(wall)
    await scene.tell()
    assert wall.sent
    assert scene.slept == [17.0]


async def test_a_passing_error_is_retried_with_growing_pauses() -> None:
    wall = Wall(errors=[TransientError("down") for _ in range(4)])
    scene = Scene(wall)
    await scene.tell()
    assert wall.sent
    assert len(scene.slept) == 4
    assert scene.slept[-1] > scene.slept[0]


async def test_a_permanent_error_fails_in_the_ledger_and_the_other_channel_is_served() -> None:
    broken, fine = Wall("broken", errors=[PermanentError("no such hook")]), Wall("fine")
    scene = Scene(broken, fine)
    with pytest.raises(PermanentError, match="broken: no such hook"):
        await scene.tell()
    assert fine.sent
    assert scene.statuses == ["pending", "failed", "pending", "delivered"]


async def test_a_channel_that_stays_down_is_given_up_after_a_while() -> None:
    wall = Wall(errors=[TransientError("down") for _ in range(100)])
    scene = Scene(wall)
    with pytest.raises(PermanentError):
        await scene.tell()
    assert scene.statuses[-1] == "failed"
    assert 20 < sum(scene.slept) <= 60


async def test_a_replay_tries_again_what_failed_and_not_what_was_delivered() -> None:
    broken, fine = Wall("broken", errors=[PermanentError("no such hook")]), Wall("fine")
    scene = Scene(broken, fine)
    with pytest.raises(PermanentError):
        await scene.tell()
    await scene.tell()
    assert broken.sent == []
    await scene.tell(again=True)
    await scene.tell(again=True)
    assert (len(broken.sent), len(fine.sent)) == (1, 1)
    assert scene.statuses == ["pending", "failed", "pending", "delivered", "pending", "delivered"]


async def test_the_ledger_rebuilt_from_its_topic_is_the_one_that_wrote_it() -> None:
    broken, fine = Wall("broken", errors=[PermanentError("no"), PermanentError("still no")]), Wall("fine")
    scene = Scene(broken, fine)
    for again in (False, True):
        with pytest.raises(PermanentError):
            await scene.tell(again=again)
    await scene.tell("resolved")
    rebuilt = Ledger()
    for entry in scene.topic:
        rebuilt.apply(entry)
    assert rebuilt._entries == scene.ledger._entries
    assert len(rebuilt._entries) == 3


async def test_a_ledger_that_cannot_be_written_after_the_message_was_sent_does_not_send_it_again() -> None:
    wall = Wall()
    scene = Scene(wall)
    send = wall.send

    async def then_kafka_goes(notice: Notice, opened: str | None) -> str | None:
        scene.kafka_away = 3
        return await send(notice, opened)

    wall.send = then_kafka_goes  # type: ignore[method-assign]
    await scene.tell()
    assert len(wall.sent) == 1
    assert scene.statuses == ["pending", "delivered"]
    assert len(scene.slept) == 3


async def test_kafkas_absence_never_gives_a_message_up() -> None:
    wall = Wall()
    scene = Scene(wall)
    scene.kafka_away = 40
    await scene.tell()
    assert (len(wall.sent), scene.statuses) == (1, ["pending", "delivered"])
    assert sum(scene.slept) > 600


async def test_a_late_message_says_how_old_it_is() -> None:
    wall = Wall()
    await Scene(wall).tell_late(overdue(1), overdue(2))
    assert wall.notices[0].facts[0] == ("Late", "it has waited for 2 h 59 min, because nobody could be told")
    assert wall.notices[0].state == "firing"


async def test_many_late_messages_are_one_for_people_which_names_the_worst_and_each_for_a_program() -> None:
    wall, program = Wall(), Wall("program", for_people=False)
    scene = Scene(wall, program)
    waiting = [overdue(number) for number in range(60)]
    waiting[41] = overdue(41, severity="page", fingerprint="worst", summary="all predictions fail")
    for place in range(len(waiting)):
        await scene.tell_late(*waiting[place:])
    [only] = wall.notices
    assert len(program.notices) == 60
    assert only.severity == "page"
    assert only.title == "[LATE] 60 messages could not be told in time"
    assert only.text.startswith("1 page, 59 inform; the oldest has waited for 3 h 0 min, the newest for 2 h 1 min.")
    assert only.facts[0] == (waiting[41].notice.title, "2 h 19 min ago. all predictions fail")
    assert only.facts[1][1].startswith("2 h 1 min ago")
    assert len(only.facts) == WORST_SHOWN + 1
    told = [entry for entry in scene.topic if entry.channel == "wall"]
    assert [entry.status for entry in told] == ["pending"] * 60 + ["delivered"] * 60
    assert len({entry.notification_id for entry in told}) == 60


async def test_an_end_among_late_messages_is_told_with_its_beginning_and_one_without_is_not() -> None:
    wall = Wall()
    scene = Scene(wall)
    waiting = [*(overdue(number) for number in range(5)), overdue(1, "resolved"), overdue(9, "resolved")]
    for place in range(len(waiting)):
        await scene.tell_late(*waiting[place:])
    assert len(wall.notices) == 1
    assert "6 messages" in wall.notices[0].title
    assert sum("[RESOLVED]" in title for title, _ in wall.notices[0].facts) == 1
    await scene.tell("resolved", "ep2")
    assert wall.sent[-1] == ("resolved", None)  # it has no message of its own to continue


async def test_a_crash_after_one_message_for_many_repeats_what_the_ledger_does_not_have() -> None:
    wall = Wall()
    waiting = [overdue(number) for number in range(6)]
    before = Scene(wall)
    await before.tell_late(*waiting)
    survived = Ledger()
    for entry in before.topic[:-2]:  # two of six were not written as delivered
        survived.apply(entry)
    after = Scene(wall, ledger=survived)
    for place in range(len(waiting)):
        await after.tell_late(*waiting[place:])
    assert [notice.episode for notice in wall.notices] == ["ep0", "ep4", "ep5"]


async def test_one_message_for_many_that_is_refused_is_tried_alone_before_the_first_alone_fails() -> None:
    wall = Wall(errors=[PermanentError("not now"), PermanentError("not now")])
    scene = Scene(wall)
    waiting = [overdue(number) for number in range(7)]
    with pytest.raises(PermanentError, match="not now"):
        await scene.tell_late(*waiting)
    for number in range(1, 7):
        await scene.tell_late(*waiting[number:])
    assert [entry.episode for entry in scene.topic if entry.status == "failed"] == ["ep0"]
    assert sum(entry.status == "delivered" for entry in scene.topic) == 6
    assert [notice.title for notice in wall.notices if " messages" in notice.title] == []  # a part of three is no group


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=3), "1 min"),
        (timedelta(minutes=61), "1 h 1 min"),
        (timedelta(days=2, hours=3, minutes=59), "2 d 3 h"),
    ],
)
def test_an_age_is_told_in_words(age: timedelta, words: str) -> None:
    assert length(age) == words
