"""Whatever is wrong, the command line says in a sentence what it is and what to do; exit code 1, never a traceback."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from example_models import Example, pumps, unique
from headrace_command import Headrace

from deploy.local.stack import Stack

pytestmark = pytest.mark.kafka
NOWHERE = "http://127.0.0.1:9"
UNCONFIGURED = dict.fromkeys((name for name in os.environ if name.startswith("HEADRACE_")), None)


@pytest.fixture
def alone(tmp_path: Path) -> Headrace:
    """The command line on a machine where nothing runs and nothing is configured."""
    return Headrace({**UNCONFIGURED, "XDG_STATE_HOME": str(tmp_path / "state")})


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        yield int(somebody.getsockname()[1])


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with less room than any part of headrace needs."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if os.geteuid() == 0
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip(f"a small file system needs mount: {'not root' if mounted is None else mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_wrong_definition_is_refused_with_the_path_of_every_problem(headrace: Headrace, definitions: Path) -> None:
    text = pumps(windows=0).definitions
    text = text.replace("range: [0, 20]", "range: [20, 0]").replace("min: 0.7", "min: 0.7, weight: 3")
    definitions.write_text(text)
    said = headrace.refusal("apply", "-f", definitions)
    assert "spec.features[0].range: lower bound above upper" in said
    assert "spec.gates[0].weight: unknown key" in said


def test_a_model_that_does_not_fit_its_feature_set_is_refused_by_the_registry(
    headrace: Headrace, definitions: Path
) -> None:
    text = pumps(windows=0).definitions
    definitions.write_text(text.replace("  recipe:", "  features: [pressure, humidity]\n  recipe:"))
    assert "spec.features[1]" in headrace.refusal("apply", "-f", definitions)
    assert "humidity" in headrace.refusal("apply", "-f", definitions, "--dry-run")


def test_a_file_that_is_no_yaml_is_refused(headrace: Headrace, definitions: Path) -> None:
    definitions.write_text("kind: [FeatureSet\n")
    assert "not YAML" in headrace.refusal("apply", "-f", definitions)
    assert "There is no file or directory" in headrace.refusal("apply", "-f", definitions.with_name("absent.yaml"))


def test_a_wrong_event_is_answered_422_with_its_reasons(stack: Stack, example: Example) -> None:
    row = example.rows[0]
    event = {**example.event(row), "features": {"pressure": -4.0, "vibration": "strong"}}
    answer = httpx.post(f"{stack.urls['ingestion']}/v1/events", json=event, timeout=20)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {reason["field"] for reason in answer.json()["reasons"]} == {"features.pressure", "features.vibration"}


def test_wrong_lines_of_a_file_are_named_and_the_others_are_accepted(
    headrace: Headrace, example: Example, tmp_path: Path
) -> None:
    right, wrong = example.event(example.rows[0]), example.event(example.rows[1])
    file = tmp_path / "events.ndjson"
    lines = ({"id": unique("event"), **right}, {"id": unique("event"), **wrong, "features": {"pressure": -4.0}})
    file.write_text("\n".join(map(json.dumps, lines)))
    said = headrace.refusal("events", "send", file)
    assert "1 accepted, 1 refused:" in said
    assert "line 2: " in said
    assert "features.pressure: range, expected 0..20, observed -4" in said
    assert "features.vibration" in said


def test_a_refusal_among_thousands_of_lines_holds_none_of_them_back(
    headrace: Headrace, example: Example, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    right = example.event(example.rows[0])
    lines = [{"id": unique("event"), **right} for _ in range(3000)]
    lines[4] = {**lines[4], "features": {"pressure": -4.0}}
    file.write_text("\n".join(map(json.dumps, lines)))
    refused = headrace("events", "send", file, "--json")
    assert refused.returncode == 1
    content = json.loads(refused.stdout)
    assert content["accepted"] == 2999
    assert [each["place"] for each in content["refused"]] == ["line 5"]


def test_events_without_ticks_come_with_a_hint_that_event_time_stands_still(
    headrace: Headrace, example: Example, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps({"id": unique("event"), **example.event(example.rows[0])}))
    sent = headrace("events", "send", file)
    assert sent.returncode == 0
    assert "event time will not advance without ticks" in sent.stderr


def test_a_replay_into_a_feature_set_that_follows_the_wall_clock_is_refused(
    headrace: Headrace, definitions: Path, tmp_path: Path
) -> None:
    live = pumps(windows=0)
    definitions.write_text(live.definitions.replace("clock: replay", "clock: live"))
    headrace.say("apply", "-f", definitions)
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps({"id": unique("event"), **live.event(live.rows[0])}))
    assert "has clock: live" in headrace.refusal("replay", file, "--feature-set", live.ref)


def test_diff_refuses_what_apply_refuses(headrace: Headrace, definitions: Path) -> None:
    model = pumps(windows=0).definitions.partition("---")[2]
    definitions.write_text(model)
    refused = headrace("diff", "-f", definitions)
    assert refused.returncode == 2
    assert "neither in this apply nor in force" in refused.stderr
    said = headrace.refusal("apply", "-f", definitions)
    assert said.count("neither in this apply nor in force") == 1


def test_a_wrong_model_name_is_answered_with_the_right_ones(
    headrace: Headrace, example: Example, tmp_path: Path
) -> None:
    for command in (
        ("models", "show", "pamps"),
        ("models", "at", "pamps", "2024-01-01T00:00:00Z"),
        ("models", "approve", "pamps", "1", "--reason", "r"),
        ("models", "rollback", "pamps", "--reason", "r"),
    ):
        assert "pamps" in headrace.refusal(*command)
    assert example.model in headrace.refusal("train", "pamps", "--wait")
    file = tmp_path / "model.onnx"
    assert "There is no file" in headrace.refusal("models", "import", file, "--model", example.model)


@pytest.mark.parametrize("option", ["--kafka-port", "--ingestion-port"])
def test_a_port_in_use_is_named(alone: Headrace, busy_port: int, option: str, tmp_path: Path) -> None:
    said = alone.refusal("up", "--data-dir", tmp_path / "data", option, str(busy_port))
    assert f"Port {busy_port}" in said
    assert "is in use" in said


def test_without_network_the_first_start_says_what_it_wanted_to_fetch(alone: Headrace, tmp_path: Path) -> None:
    proxies = {name: NOWHERE for each in ("http_proxy", "https_proxy", "all_proxy") for name in (each, each.upper())}
    env = {**proxies, "NO_PROXY": None, "no_proxy": None, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = alone.refusal("up", "--data-dir", tmp_path / "data", env=env)
    assert "needs network access" in said


def test_a_full_disk_is_named(alone: Headrace, full_disk: Path) -> None:
    said = alone.refusal("up", "--data-dir", full_disk / "data")
    assert str(full_disk) in said
    assert "free some space" in said or "No space left on device" in said


def test_without_any_headrace_a_command_says_how_to_get_one(alone: Headrace) -> None:
    assert "start `headrace up`" in alone.refusal("models", "list")


def test_a_broker_that_does_not_answer_is_named(alone: Headrace) -> None:
    env = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    said = alone.refusal("models", "list", env=env)
    assert "127.0.0.1:9" in said
    assert "HEADRACE_KAFKA__BOOTSTRAP_SERVERS" in said
    diagnosis = alone("doctor", env=env)
    assert diagnosis.returncode == 1
    assert "Kafka at 127.0.0.1:9 did not answer within 5 s" in diagnosis.stdout
    assert diagnosis.stderr == ""


def test_a_setting_that_makes_no_sense_is_named(alone: Headrace) -> None:
    env = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "HEADRACE_TOPICS__PARTITIONS": "none"}
    assert "HEADRACE_TOPICS__PARTITIONS" in alone.refusal("models", "list", env=env)


def test_a_command_that_does_not_exist_is_wrong_usage(alone: Headrace) -> None:
    process = alone("models", "aprove", "x")
    assert process.returncode == 2
    assert "No such command 'aprove'. Did you mean 'approve'" in process.stderr
    assert "Traceback" not in process.stderr
