"""Which version answers, in which words, and what happens to a row that poisons its batch."""

from collections.abc import Sequence

import numpy as np
import pytest

from schemas.definitions import TargetType
from schemas.events.training import ModelOutputs
from services.inference.errors import DeadlineError, ScoringError, VersionRefusedError
from services.inference.external_data import refuse_external_data
from services.inference.isolation import isolate
from services.inference.outputs import ClassOutputs, OutputReader, ValueOutputs
from services.inference.routing import side_of, split

ENTITIES = [f"parcel-{number}" for number in range(2000)]


def test_without_a_canary_the_champion_serves_everybody() -> None:
    assert split("m", ENTITIES, None) == (list(range(2000)), [])


def test_the_canary_serves_about_its_share_of_the_entities() -> None:
    champion, canary = split("m", ENTITIES, 0.2)
    assert sorted(champion + canary) == list(range(2000))
    # binomial(2000, 0.2) has sd 18; the hash is fixed, so this never changes
    assert 340 < len(canary) < 460


def test_a_larger_share_only_adds_entities_to_the_canary() -> None:
    assert set(split("m", ENTITIES, 0.1)[1]) < set(split("m", ENTITIES, 0.3)[1])


def test_an_entity_keeps_its_side() -> None:
    canary = set(split("m", ENTITIES, 0.3)[1])
    assert all((side_of("m", entity, 0.3) == "canary") == (place in canary) for place, entity in enumerate(ENTITIES))


def test_a_binary_answer_is_in_the_words_of_the_labels_and_scores_the_positive_class() -> None:
    reader = OutputReader(TargetType.BINARY, ModelOutputs(label="l", probabilities="p"), (False, True))
    arrays = {"l": np.array([1, 0]), "p": np.array([[0.25, 0.75], [0.5, 0.5]])}
    assert reader.read(arrays, 2) == [ClassOutputs(True, 0.75, [0.25, 0.75]), ClassOutputs(False, 0.5, [0.5, 0.5])]


def test_a_multiclass_answer_without_a_label_output_names_the_likeliest_class() -> None:
    reader = OutputReader(TargetType.MULTICLASS, ModelOutputs(probabilities="p"), ("a", "b", "c"))
    assert reader.read({"p": np.array([[0.125, 0.625, 0.25]])}, 1) == [ClassOutputs("b", 0.625, [0.125, 0.625, 0.25])]


def test_a_value_that_is_not_finite_fails_its_own_row_alone() -> None:
    reader = OutputReader(TargetType.REGRESSION, ModelOutputs(value="v"), ())
    answers = reader.read({"v": np.array([[1.5], [np.nan], [2.5]])}, 3)
    assert answers[0] == ValueOutputs(1.5)
    assert isinstance(answers[1], ScoringError)
    assert answers[2] == ValueOutputs(2.5)


def test_probabilities_of_another_number_of_classes_are_refused() -> None:
    reader = OutputReader(TargetType.MULTICLASS, ModelOutputs(probabilities="p"), ("a", "b", "c"))
    with pytest.raises(ScoringError, match="shape"):
        reader.read({"p": np.zeros((2, 4))}, 2)


def test_poison_rows_fail_alone_and_the_others_are_answered() -> None:
    poison = {3, 700}

    def run(rows: Sequence[int]) -> list[int]:
        if poison & set(rows):
            message = "poison"
            raise ScoringError(message)
        return [row * 2 for row in rows]

    found = isolate(range(1000), run)
    assert {place for place, answer in enumerate(found.answers) if isinstance(answer, ScoringError)} == poison
    assert all(answer == place * 2 for place, answer in enumerate(found.answers) if place not in poison)
    assert found.runs < 2 * len(poison) * 11 + 1


def test_a_model_that_hangs_costs_one_deadline_and_not_one_a_row() -> None:
    def run(rows: Sequence[int]) -> list[int]:
        raise DeadlineError(str(len(rows)))

    found = isolate(range(1000), run)
    assert found.runs == 1
    assert all(isinstance(answer, DeadlineError) for answer in found.answers)


@pytest.mark.parametrize("artifact", [b"", b"\x80\x04\x95pickle", b"PK\x03\x04zip"])
def test_what_is_no_onnx_file_is_refused_before_it_is_loaded(artifact: bytes) -> None:
    with pytest.raises(VersionRefusedError):
        refuse_external_data(artifact)
