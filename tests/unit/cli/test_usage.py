"""What the command line says before it talks to any headrace."""

import json
import os
from pathlib import Path

import pytest

from cli.main import app, call


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nothing runs and nothing is configured."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("HEADRACE_CONFIG", "HEADRACE_KAFKA__BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: object) -> int:
    return call(lambda: app([str(each) for each in arguments]))


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("headrace 0.")


@pytest.mark.parametrize("option", ["--kafka-port", "--ingestion-port"])
@pytest.mark.parametrize("port", [99999, -1])
def test_a_port_that_cannot_be_is_wrong_usage(option: str, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("up", option, port) == 2
    told = capsys.readouterr().err
    assert f"Invalid value for '{option}'" in told
    assert "Traceback" not in told


def test_help_cuts_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--help",), ("models", "--help"), ("events", "--help")):
        assert run(*words) == 0
        assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_a_misspelt_command_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("aply") == 2
    assert "Did you mean 'apply'" in capsys.readouterr().err


def test_a_refusal_is_a_document_for_programs_and_a_sentence_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "list", "--json") == 1
    told = capsys.readouterr()
    assert told.err.startswith("headrace: No headrace runs on this machine")
    assert json.loads(told.out)["error"].startswith("No headrace runs on this machine")
    assert run("models", "list") == 1
    assert capsys.readouterr().out == ""


def test_every_problem_of_a_definition_stands_in_the_document(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("apiVersion: headrace/v1\nkind: FeatureSet\nmetadata: {name: a}\nspec: {version: 1}\n")
    assert run("apply", "-f", file, "--json") == 1
    content = json.loads(capsys.readouterr().out)
    assert len(content["problems"]) > 1
    assert all(problem in content["error"] for problem in content["problems"])


def test_diff_tells_trouble_from_changes_by_its_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("diff", "-f", tmp_path / "absent.yaml") == 2
    assert "There is no file" in capsys.readouterr().err


def test_a_running_headrace_is_used_although_a_file_has_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.connection import connect, current_file

    current_file().parent.mkdir(parents=True)
    here = {
        "bootstrap_servers": "127.0.0.1:1234",
        "mongo_uri": "mongodb://127.0.0.1:1",
        "prefix": "p.",
        "partitions": 2,
        "ingestion_url": None,
        "data_dir": str(tmp_path),
        "keys_dir": str(tmp_path / "keys"),
        "pid": os.getpid(),
    }
    current_file().write_text(json.dumps(here))
    config = tmp_path / "config.yaml"
    config.write_text("log: {level: ERROR}\n")
    monkeypatch.setenv("HEADRACE_CONFIG", str(config))
    assert connect().settings.kafka.bootstrap_servers == "127.0.0.1:1234"
    config.write_text("kafka: {bootstrap_servers: '127.0.0.1:4321'}\n")
    assert connect().settings.kafka.bootstrap_servers == "127.0.0.1:4321"
