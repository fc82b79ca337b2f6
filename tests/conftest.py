"""Fixtures that every level shares: one embedded platform a worker, a topic prefix of its own for each test."""

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from deploy.local.platform import Endpoints, running
from shared.settings import KafkaSettings, MongoSettings, PlatformSettings, TopicSettings


def pytest_configure() -> None:
    """Asyncio complains of unheard futures from destructors, wherever the collector happens to run.

    Formatting that complaint's traceback parses source; inside another parse (pytest's own, of a failed test) Python 3.11
    ends with a SystemError. So the complaint goes without its traceback.
    """

    def without_traceback(record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True

    logging.getLogger("asyncio").addFilter(without_traceback)


ON_THEIR_OWN = ("test_up.py", "test_demo.py")  # they start a headrace of their own


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types for it
    """Two workers share the suite by file; what uses the one whole headrace (`stack`) stays on one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "stack" if "/e2e/" in file and not file.endswith(ON_THEIR_OWN) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """xdist's own way to group (`loadgroup`) marks node ids, which pytest 9 does not allow any more."""
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """What takes longest comes first, whatever pytest-randomly has made of the order."""
    yield
    levels = ("e2e", "faults", "integration")
    items.sort(
        key=lambda item: next((n for n, level in enumerate(levels) if f"/{level}/" in str(item.path)), len(levels))
    )


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A real Kafka and the Mongo-wire server, started once, gone at the end."""
    with running(tmp_path_factory.mktemp("platform"), report=print) as endpoints:
        yield endpoints


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def settings(platform: Endpoints, prefix: str) -> PlatformSettings:
    """Settings for the session's platform with this test's prefix and two partitions."""
    assert platform.mongo_uri is not None
    return PlatformSettings(
        kafka=KafkaSettings(bootstrap_servers=platform.bootstrap_servers),
        mongo=MongoSettings(uri=platform.mongo_uri, database=prefix.strip(".")),
        topics=TopicSettings(prefix=prefix, partitions=2),
    )


@pytest.fixture
def service_env(platform: Endpoints, prefix: str, tmp_path: Path) -> dict[str, str]:
    """The environment that starts a service process against the same platform and prefix as `settings`."""
    assert platform.mongo_uri is not None
    return {
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": platform.bootstrap_servers,
        "HEADRACE_MONGO__URI": platform.mongo_uri,
        "HEADRACE_MONGO__DATABASE": prefix.strip("."),
        "HEADRACE_TOPICS__PREFIX": prefix,
        "HEADRACE_TOPICS__PARTITIONS": "2",
        "HEADRACE_DATA_DIR": str(tmp_path),
    }
