"""Each check sees each kind of fault in records made by hand; the runs see to it that they see nothing else."""

import json
from datetime import timedelta
from typing import Any

from schemas.envelope import format_time
from tests.faults import world
from tests.faults.digests import body_digest, poison_digest
from tests.faults.faults import Step
from tests.faults.injector import Injected
from tests.faults.ledger import Entry, Outcome, Sending
from tests.faults.oracle import outcomes, predictions, windows
from tests.faults.playing import recovery
from tests.faults.reading import Seen

DIGEST = body_digest(b"body")
OTHER = body_digest(b"other")


def entry(seq: int, outcome: Outcome = "ok", *, digest: str = DIGEST, expectation: str = "valid") -> Entry:
    kind = "poison" if expectation == "dead" else "event"
    return Entry(Sending(seq, kind, "" if kind == "poison" else "e1", digest, expectation, "kafka"), outcome)  # type: ignore[arg-type]


def record(topic: str, offset: int, body: dict[str, Any] | None = None, **headers: str) -> Seen:
    encoded = {name: value.encode() for name, value in headers.items()}
    return Seen(topic, 0, offset, 0, b"tank-1", json.dumps(body or {}).encode(), encoded)


def ended(topic: str, offset: int = 0, digest: str = DIGEST, identity: str = "e1") -> Seen:
    body = {"origin": {"topic": "faults.events.raw"}}
    return record(topic, offset, body, ce_id=identity, ce_source=world.SOURCE, ce_payloadhash=digest)


def faults_of(entries: list[Entry], records: list[Seen]) -> set[str]:
    return set(outcomes.check(entries, records).wrong)


class TestOutcomes:
    def test_an_acknowledged_event_that_was_validated_is_well(self) -> None:
        assert not faults_of([entry(0)], [ended("events.validated")])

    def test_an_acknowledged_event_without_an_outcome_is_lost(self) -> None:
        assert "lost: fewer outcomes than acknowledged attempts" in faults_of([entry(0)], [])

    def test_an_unknown_attempt_may_have_an_outcome_or_none(self) -> None:
        assert not faults_of([entry(0, "unknown")], [])
        assert not faults_of([entry(0, "unknown")], [ended("events.validated")])

    def test_a_refused_attempt_must_have_none(self) -> None:
        assert "repeated: more outcomes than attempts" in faults_of([entry(0, "fail")], [ended("events.validated")])

    def test_a_second_outcome_of_one_attempt_is_a_repetition_even_as_a_duplicate(self) -> None:
        found = faults_of([entry(0)], [ended("events.validated"), ended("events.duplicates", 1)])
        assert found == {"repeated: more outcomes than attempts"}

    def test_an_event_sent_twice_is_validated_once_and_a_duplicate_once(self) -> None:
        both = [entry(0), entry(1)]
        assert not faults_of(both, [ended("events.validated"), ended("events.duplicates", 1)])
        assert "an id was validated more than once" in faults_of(
            both, [ended("events.validated"), ended("events.validated", 1)]
        )

    def test_another_body_under_a_validated_id_must_be_rejected(self) -> None:
        both = [entry(0), entry(1, digest=OTHER)]
        assert not faults_of(both, [ended("events.validated"), ended("events.rejected", 1, OTHER)])
        assert faults_of(both, [ended("events.validated"), ended("events.duplicates", 1, OTHER)])

    def test_what_was_never_sent_is_a_phantom(self) -> None:
        assert "phantom: validated without an attempt" in faults_of([], [ended("events.validated")])

    def test_poison_becomes_a_dead_letter(self) -> None:
        sent = entry(0, digest=poison_digest(None, b"mark"), expectation="dead")
        letter = record("validation.dead-letters", 0, {"key_base64": None, "payload_base64": "bWFyaw=="})
        assert not faults_of([sent], [letter])
        assert faults_of([sent], [])


def validated(offset: int, identity: str, inflow: float = 10.0) -> Seen:
    body = {"entity_id": "tank-1", "features": {"inflow": inflow, "outflow": 3.0}}
    return record("events.validated", offset, body, ce_id=identity, ce_source=world.SOURCE)


def raw(offset: int, identity: str) -> Seen:
    return record("events.raw", offset, ce_id=identity)


def predicted(offset: int, identity: str, value: float | None = None, *, id_: str = "") -> Seen:
    body = {
        "event_id": identity,
        "event_source": world.SOURCE,
        "entity_id": "tank-1",
        "status": "ok",
        "outputs": {"value": world.level(10.0, 3.0) if value is None else value},
        "error": None,
    }
    return record("predictions", offset, body, ce_id=id_ or f"p-{identity}", route="champion")


def started(offset: int) -> Seen:
    body = {"model": world.MODEL, "partition": 0, "offset": offset}
    return record("inference.status", 0, body, ce_type="headrace.serving-started.v1")


class TestPredictions:
    events = (raw(0, "a"), raw(1, "b"), validated(0, "a"), validated(1, "b"), started(0))

    def faults(self, *found: Seen, warm_up: frozenset[str] = frozenset()) -> set[str]:
        return set(predictions.check([*self.events, *found], warm_up=warm_up).wrong)

    def test_one_each_in_order_is_well(self) -> None:
        assert not self.faults(predicted(0, "a"), predicted(1, "b"))

    def test_a_missing_one_is_lost(self) -> None:
        assert "lost: an event without a prediction" in self.faults(predicted(0, "a"))

    def test_a_second_one_is_a_repetition(self) -> None:
        found = self.faults(predicted(0, "a"), predicted(1, "a", id_="other"), predicted(2, "b"))
        assert "repeated: several predictions" in found

    def test_a_swapped_order_is_seen(self) -> None:
        found = self.faults(predicted(0, "b"), predicted(1, "a"))
        assert found == {"order of a key changed between events.validated and predictions"}

    def test_a_wrong_value_is_seen(self) -> None:
        assert self.faults(predicted(0, "a", 1.0), predicted(1, "b")) == {"a prediction is wrong"}

    def test_a_prediction_of_nothing_is_a_phantom(self) -> None:
        found = self.faults(predicted(0, "a"), predicted(1, "b"), predicted(2, "c"))
        assert "phantom: a prediction of an event that is owed none" in found

    def test_a_first_served_offset_beyond_the_warm_up_is_a_lie(self) -> None:
        late = [*self.events[:-1], started(1), predicted(1, "b")]
        assert predictions.check(late, warm_up=frozenset()).wrong
        assert not predictions.check(late, warm_up=frozenset({"a"})).wrong

    def test_an_order_that_differs_from_the_raw_topic_is_seen(self) -> None:
        swapped = [raw(0, "b"), raw(1, "a"), *self.events[2:], predicted(0, "a"), predicted(1, "b")]
        assert predictions.check(swapped, warm_up=frozenset()).wrong


def closed(lane: str, rows: int, *, labelled: int | None = None, revision: int = 1, kpi: float = 10.0) -> Seen:
    body = {
        "version": 1,
        "route": "champion",
        "lane": lane,
        "window": {"start": format_time(world.START), "end": format_time(world.START + world.WINDOW)},
        "revision": revision,
        "rows": rows,
        "failed": 0,
        "labelled": labelled,
        "channels": [{"channel": "kpi:mean_inflow", "value": kpi, "alarming": kpi > world.ALARMING}],
    }
    return record("metrics.windows", 0, body)


class TestWindows:
    def faults(self, *found: Seen, inflow: float = 10.0) -> set[str]:
        rows = [
            record(
                "predictions",
                number,
                {
                    "event_id": f"e{number}",
                    "version": 1,
                    "route": "champion",
                    "status": "ok",
                    "occurred_at": format_time(world.START + timedelta(minutes=1)),
                    "features": {"inflow": inflow},
                },
            )
            for number in range(60)
        ]
        label = record("labels.validated", 0, {"event_id": "e1"})
        return set(windows.check([*rows, label, *found]).wrong)

    def test_equal_numbers_are_well(self) -> None:
        assert not self.faults(closed("performance", 60), closed("quality", 60, labelled=1))

    def test_a_row_too_few_is_seen(self) -> None:
        assert self.faults(closed("performance", 59), closed("quality", 60, labelled=1)) == {"rows"}

    def test_a_label_too_many_is_seen(self) -> None:
        assert self.faults(closed("performance", 60), closed("quality", 60, labelled=2)) == {"labelled"}

    def test_the_last_revision_counts(self) -> None:
        corrected = (closed("performance", 59), closed("performance", 60, revision=2))
        assert not self.faults(*corrected, closed("quality", 60, labelled=1))

    def test_a_window_that_was_never_closed_is_seen(self) -> None:
        assert self.faults() == {"a window was never closed"}

    def test_an_alarm_without_an_alert_is_seen(self) -> None:
        found = self.faults(closed("performance", 60, kpi=80.0), closed("quality", 60, labelled=1), inflow=80.0)
        assert found == {"a window alarms and no alert says so"}


class TestRecovery:
    def judged(self, kind: str, seconds: float | None, machine: str = "") -> bool:
        return recovery([Injected(0, Step(kind, "validation"), seconds)], machine).passed

    def test_half_a_minute_is_allowed_after_the_kill_of_a_service(self) -> None:
        assert self.judged("kill -9", 29.0)
        assert not self.judged("kill -9", 31.0)

    def test_a_minute_is_allowed_after_the_kill_of_the_broker(self) -> None:
        assert self.judged("broker kill -9", 59.0)
        assert not self.judged("broker kill -9", 61.0)

    def test_no_recovery_is_never_allowed(self) -> None:
        assert not self.judged("link cut", None, "load 20 on 2 cores")

    def test_a_busy_machine_tells_nothing_about_times(self) -> None:
        assert self.judged("kill -9", 100.0, "load 20 on 2 cores")
