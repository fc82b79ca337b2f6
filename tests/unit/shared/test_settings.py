"""Settings: where they come from and what is refused."""

from pathlib import Path

import pytest
from pydantic import Field

from shared.errors import ConfigurationError
from shared.settings import PlatformSettings, Section, load


class ExampleSettings(Section):
    threshold: float = Field(0.5, ge=0, le=1)


class Settings(PlatformSettings):
    example: ExampleSettings = ExampleSettings()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the checkout


def test_a_nested_variable_sets_a_nested_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "broker-1:9092,broker-2:9092")
    assert load(Settings).kafka.bootstrap_servers == "broker-1:9092,broker-2:9092"


def test_an_unknown_key_of_a_known_section_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVER", "x:1")
    with pytest.raises(ConfigurationError, match="HEADRACE_KAFKA__BOOTSTRAP_SERVER is not a setting"):
        load(Settings)


def test_the_section_of_another_service_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_NOTIFIER__ANYTHING", "1")
    assert load(Settings).example.threshold == 0.5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADRACE_EXAMPLE__THRESHOLD", "nan"),
        ("HEADRACE_EXAMPLE__THRESHOLD", "1.5"),
        ("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost"),
        ("HEADRACE_TOPICS__PARTITIONS", "0"),
        ("HEADRACE_TOPICS__MIN_INSYNC_REPLICAS", "3"),
        ("HEADRACE_KAFKA__SECURITY_PROTOCOL", "SASL_SSL"),
        ("HEADRACE_HTTP__PORT", "70000"),
    ],
)
def test_a_value_that_cannot_work_is_refused_in_one_line_that_names_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load(Settings)
    section = variable.split("__", maxsplit=1)[0]
    assert section in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_repeated_in_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("HEADRACE_KAFKA__SESSION_TIMEOUT", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load(Settings)
    assert "hunter2" not in str(caught.value)


def test_settings_are_frozen() -> None:
    settings = load(Settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.topics.partitions = 8  # type: ignore[misc]


def test_a_file_fills_what_the_environment_leaves_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("topics: {prefix: from-file., partitions: 8}\nnotifier: {unknown: 1}\n")
    monkeypatch.setenv("HEADRACE_CONFIG", str(file))
    monkeypatch.setenv("HEADRACE_TOPICS__PARTITIONS", "2")
    topics = load(Settings).topics
    assert (topics.prefix, topics.partitions) == ("from-file.", 2)


def test_a_missing_file_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        load(Settings)
