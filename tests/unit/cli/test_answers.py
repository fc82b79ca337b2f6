"""What commands make of what they read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.choosing import the_one
from cli.clocks import clock_of
from cli.definitions import refusal
from cli.models import nothing_then
from cli.operation import alive, present, process_row
from cli.replaying import check_clock
from schemas.events.platform import Gpu, Heartbeat
from schemas.events.registry import ChampionPromoted, DefinitionRecord, RegistryEvent, RegistryReply
from shared.errors import RefusedError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def beat(instance: str, ago: float, service: str = "inference") -> Heartbeat:
    return Heartbeat(
        service=service,
        instance=instance,
        version="1",
        at=NOW - timedelta(seconds=ago),
        started_at=NOW - timedelta(days=1),
        ready=True,
        lag=0,
        processed=1,
        cpu=0.1,
        memory_bytes=1,
    )


def feature_set(name: str, major: int, clock: str) -> DefinitionRecord:
    return DefinitionRecord(
        kind="FeatureSet",
        name=name,
        major=major,
        revision=1,
        definition={"spec": {"clock": clock}},
    )


def reply(message: str, *problems: str) -> RegistryReply:
    return RegistryReply(command_id="c", status="refused", code="invalid", message=message, problems=problems)


def test_a_process_that_is_silent_is_not_alive_and_is_dropped_once_another_beats() -> None:
    killed, successor, other = beat("a", 61), beat("b", 1), beat("c", 500, "training")
    assert not alive(killed, NOW)
    assert alive(successor, NOW)
    assert present([killed, successor, other], NOW) == [successor, other]
    assert present([killed], NOW) == [killed]
    assert present([beat("d", 2), successor], NOW) == [beat("d", 2), successor]


def test_a_process_is_shown_with_what_it_uses_of_what_it_may() -> None:
    mib = 1024 * 1024
    gpu = Gpu(index=0, name="g", utilisation=0.25, memory_bytes=512 * mib, memory_total_bytes=8192 * mib)
    told = beat("a", 1).model_copy(
        update={"memory_bytes": 300 * mib, "memory_limit_bytes": 2048 * mib, "cores": 2.0, "gpus": (gpu,)}
    )
    row = process_row(told, NOW, as_json=False)
    assert (row["cpu_cores"], row["of_cores"], row["memory_mib"], row["of_mib"]) == (0.1, 2.0, 300, 2048)
    assert row["gpus"] == "0: 25%, 512 of 8192 MiB"
    assert process_row(told, NOW, as_json=True)["gpus"][0]["memory_total_bytes"] == 8192 * mib
    older = process_row(beat("a", 1), NOW, as_json=False)
    assert (older["of_cores"], older["of_mib"], older["gpus"]) == (None, None, None)


def test_only_a_feature_set_whose_time_a_replay_advances_is_replayed() -> None:
    known = [feature_set("meters", 1, "live"), feature_set("pumps", 1, "live"), feature_set("pumps", 2, "replay")]
    check_clock(known, "pumps@2")
    check_clock(known, "pumps")
    with pytest.raises(RefusedError, match="pumps@1 has clock: live"):
        check_clock(known, "pumps@1")
    with pytest.raises(RefusedError, match="no feature set 'valves@1'; in force are: meters@1, pumps@1, pumps@2"):
        check_clock(known, "valves@1")
    assert clock_of(known, "valves") is None


def test_a_refusal_tells_every_problem_once() -> None:
    alone = refusal(reply("nothing was applied, 1 problem: spec.a: wrong", "spec.a: wrong"), ())
    assert str(alone) == "nothing was applied, 1 problem: spec.a: wrong"
    both = refusal(reply("nothing was applied, 2 problems: spec.a: wrong", "spec.a: wrong", "spec.b: bad"), ())
    assert str(both) == "nothing was applied, 2 problems:\n  spec.a: wrong\n  spec.b: bad"
    assert both.details == {"problems": ["spec.a: wrong", "spec.b: bad"]}


def test_before_its_first_promotion_nothing_of_a_model_was_in_production() -> None:
    def promoted(days: int) -> RegistryEvent:
        content: dict[str, Any] = {
            "sequence": days,
            "revision": days,
            "model": "wear",
            "at": NOW + timedelta(days=days),
            "actor": "ann",
            "reason": "",
            "fact": ChampionPromoted(version=days, digest="0" * 64, previous=None),
        }
        return RegistryEvent.model_construct(**content)

    assert nothing_then("wear", []).endswith("no version has been promoted yet.")
    told = nothing_then("wear", [promoted(2), promoted(1)])
    assert told == ("Nothing of wear was in production at that time; its first promotion was at 2026-03-02T00:00:00Z.")


def test_the_first_characters_of_a_name_must_mean_one_thing() -> None:
    found = {"abc": 1, "abd": 2}
    assert the_one(found, "abc", what="alert", name="fingerprint", listing="l") == 1
    with pytest.raises(RefusedError, match=r"^No alert has a fingerprint that begins with 'x'"):
        the_one(found, "x", what="alert", name="fingerprint", listing="l")
    with pytest.raises(RefusedError, match=r"^2 alerts have a fingerprint that begins with 'ab'"):
        the_one(found, "ab", what="alert", name="fingerprint", listing="l")
