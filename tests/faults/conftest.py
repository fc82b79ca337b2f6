"""One broker behind links for this directory: faults are done to it that other tests must not see."""

import logging
from collections.abc import Iterator

import pytest

from tests.faults.broker import Ground, ground
from tests.faults.profiles import DEFAULT
from tests.faults.run import SCENE_LINKS, Verdicts, play_scenes


@pytest.fixture(scope="session")
def fault_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Kafka with a link for each service, and Mongo."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with ground(tmp_path_factory.mktemp("faults"), (*DEFAULT.services, *SCENE_LINKS), print) as found:
        yield found


@pytest.fixture(scope="session")
def verdicts(fault_ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """What the oracle says of every mutant and of its healthy counterpart; they are played side by side."""
    return play_scenes(fault_ground, tmp_path_factory.mktemp("scenes"))
