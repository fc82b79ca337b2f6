"""Five thousand events and six faults: nothing lost, nothing twice, nothing made up. Seed, fault log and ledger are kept."""

import os
from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.broker import Ground
from tests.faults.playing import Run, busy, play
from tests.faults.profiles import DEFAULT

CHECKS = (
    "drained",
    "outcomes",
    "predictions",
    "windows",
    "registry",
    "projection",
    "notices",
    "dead letters downstream",
    "recovery",
    "hardness",
)
SEED = int(os.environ.get("HEADRACE_FAULT_SEED", "1"))

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def run(fault_ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The default profile, once."""
    home: Path = tmp_path_factory.mktemp("run") / f"seed{SEED}"
    played = play(DEFAULT, SEED, fault_ground, home, print, busy())
    report.write(home, played, {})
    print(report.page(played, {}), f"Kept in {home}", sep="\n")
    return played


@pytest.mark.parametrize("check", CHECKS)
def test_after_the_faults_the_oracle_finds_nothing_wrong_with(check: str, run: Run) -> None:
    finding = next(each for each in run.findings if each.check == check)
    assert finding.passed, str(finding)


def test_every_check_was_made_on_something(run: Run) -> None:
    assert [each.check for each in run.findings] == list(CHECKS)
    assert all(each.counts.total() for each in run.findings), [str(each) for each in run.findings]
