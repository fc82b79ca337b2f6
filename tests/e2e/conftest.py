"""One whole headrace for all tests of this level; each test brings models and feature sets of its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from example_models import Example, pumps
from headrace_command import Headrace, against

from deploy.local.stack import Stack, running_stack
from examples.flights.fake_slack import fake_slack


@dataclass(frozen=True)
class Slack:
    """What the notifier was told to call Slack, and what it has said there."""

    url: str
    texts: list[str]


@pytest.fixture(scope="session")
def slack() -> Iterator[Slack]:
    """A stand-in for Slack's incoming webhook, for all models of the session."""
    texts: list[str] = []
    with fake_slack(lambda content: texts.append(str(content["text"]))) as url:
        yield Slack(url, texts)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, slack: Slack) -> Iterator[Stack]:
    """Kafka, the Mongo-wire server and every service as a process; gone at the end."""
    environment = {
        "HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL": slack.url,
        "HEADRACE_NOTIFIER__ALLOWED_HOSTS": json.dumps(["127.0.0.1"]),
    }
    directory = tmp_path_factory.mktemp("stack")
    with running_stack(directory, partitions=2, environment=environment, report=print) as running:
        yield running


@pytest.fixture(scope="session")
def headrace(stack: Stack) -> Headrace:
    """The command line, led to that stack."""
    return against(stack.settings, stack.urls["ingestion"])


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """A file for YAML."""
    return tmp_path / "definitions.yaml"


@pytest.fixture
def example(headrace: Headrace, definitions: Path) -> Example:
    """Definitions in force."""
    found = pumps(windows=0)
    definitions.write_text(found.definitions)
    headrace.say("apply", "-f", definitions)
    return found
