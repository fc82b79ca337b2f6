"""A problem is told with the file, the line and the document it stands in."""

import pytest

from schemas.definitions import DefinitionError, Problem, parse_definitions

FIRST = """# rides
apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: rides, owner: data-team, description: Rides}
spec:
  version: 1.0.0
  entity: ride
  features:
    - {name: distance, dtype: float32}
    - name: hour
      dtype: int64
      range: [0, 23]
"""
SECOND = """---
apiVersion: headrace/v1
kind: Model
metadata:
  name: fares
  owner: ml-team
  description: Will it be late?
spec:
  featureSet: rides@1
  target: {name: late, type: binary}
  recipe:
    estimator: LogisticRegression
    parameters:
      C: 1.0
"""


def problems(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as error:
        parse_definitions(text, "defs/rides.yaml")
    return str(error.value).split("\n")


def test_both_documents_are_right() -> None:
    assert len(parse_definitions(FIRST + SECOND)) == 2


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("range: [0, 23]", "range: [23, 0]", "defs/rides.yaml:12, document 1, spec.features[1].range: "),
        ("name: hour", "name: distance", "defs/rides.yaml:10, document 1, spec.features[1].name: "),
        ("  entity: ride\n", "", "defs/rides.yaml:5, document 1, spec.entity: is missing"),
        ("type: binary", "type: binery", "defs/rides.yaml:22, document 2, spec.target.type: "),
        ("C: 1.0", "bogus: 1", "defs/rides.yaml:26, document 2, spec.recipe.parameters.bogus: "),
        ("kind: Model", "kind: Pod", "defs/rides.yaml:15, document 2, kind: expected FeatureSet, Model or Key"),
    ],
)
def test_a_problem_is_told_with_its_line(before: str, after: str, place: str) -> None:
    assert [each[: len(place)] for each in problems((FIRST + SECOND).replace(before, after))] == [place]


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("name: rides, owner", "name: rides, owner: [", "defs/rides.yaml:4, document 1, (file): not YAML: "),
        ("{name: late, type: binary}", "{name: late?, type: [binary}", "defs/rides.yaml:22, document 2, (file): not YAML: "),
        ("Will it be late?", "Late: yes or no", "defs/rides.yaml:19, document 2, (file): not YAML: "),
        ("  owner: ml-team", "\towner: ml-team", "defs/rides.yaml:18, document 2, (file): not YAML: "),
        ("  owner: ml-team", "  owner: *team", "defs/rides.yaml:18, document 2, (file): not YAML: aliases"),
        ("  owner: ml-team", "  name: ml-team", "defs/rides.yaml:18, document 2, (file): not YAML: key 'name' stands there twice"),
        ("  owner: ml-team", "  3: ml-team", "defs/rides.yaml:18, document 2, (file): not YAML: key 3 is not a string"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_yaml_is_told_with_the_right_document_and_line(before: str, after: str, place: str) -> None:
    assert [each[: len(place)] for each in problems((FIRST + SECOND).replace(before, after))] == [place]


def test_a_colon_in_a_bare_text_is_answered_with_quotes() -> None:
    assert "belongs in quotes" in problems(SECOND.replace("Will it be late?", "Late: yes or no"))[0]


def test_problems_of_shape_and_of_sense_are_told_together() -> None:
    wrong = (FIRST + SECOND).replace("[0, 23]", "[23, 0]").replace("C: 1.0", "bogus: 1")
    assert [each.split(", ")[0] for each in problems(wrong)] == ["defs/rides.yaml:12", "defs/rides.yaml:26"]


def test_a_decoded_document_has_no_line() -> None:
    assert str(Problem(2, "spec", "is missing")) == "document 2, spec: is missing"
