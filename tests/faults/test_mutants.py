"""The oracle is itself tested: a product that is wrong in one place is caught, and under the same fault a right one passes."""

import pytest

from tests.faults import scene_faults
from tests.faults.mutants import MUTANTS
from tests.faults.oracle.findings import Findings
from tests.faults.run import Verdicts

pytestmark = pytest.mark.long

UNMASKED = {mutant: fault for fault, (_, mutants) in scene_faults.FAULTS.items() for mutant in mutants}


def test_every_mutant_has_a_fault_that_unmasks_it_for_certain() -> None:
    assert UNMASKED.keys() == MUTANTS.keys() == scene_faults.CAUGHT_BY.keys()


@pytest.mark.kafka
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_the_oracle_catches(mutant: str, verdicts: Verdicts) -> None:
    verdict = verdicts[UNMASKED[mutant], mutant]
    assert isinstance(verdict, Findings), verdict
    assert verdict.wrong[scene_faults.CAUGHT_BY[mutant]], str(verdict)


@pytest.mark.kafka
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", sorted(scene_faults.FAULTS))
def test_the_product_as_it_is_survives(fault: str, verdicts: Verdicts) -> None:
    verdict = verdicts[fault, None]
    assert isinstance(verdict, Findings), verdict
    assert verdict.passed, str(verdict)
