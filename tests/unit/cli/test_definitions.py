"""Definitions from files: every problem of every file, told where its author finds it."""

from pathlib import Path

import pytest

from cli.definitions import read_declared, refusal
from schemas.definitions import DefinitionError
from schemas.definitions.problems import MAX_PROBLEMS
from schemas.events.registry import RegistryReply

RIDES = """apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: rides, owner: data-team, description: Rides}
spec:
  version: 1.0.0
  entity: ride
  features: [{name: distance, dtype: float32}]
"""
FARES = """apiVersion: headrace/v1
kind: Model
metadata: {name: fares, owner: ml-team, description: Fares}
spec:
  featureSet: rides@1
  features:
    - distance
    - colour
  target: {name: late, type: binary}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two files: a set, and two models in one file."""
    (tmp_path / "a.yaml").write_text(RIDES)
    (tmp_path / "b.yml").write_text(FARES + "---\n" + FARES.replace("fares", "tips"))
    return tmp_path


def test_problems_of_all_files_of_a_directory_are_told_at_once_with_their_files(directory: Path) -> None:
    (directory / "a.yaml").write_text(RIDES.replace("float32", "float16"))
    (directory / "b.yml").write_text(FARES + "---\n" + FARES.replace("type: binary", "type: [binary"))
    with pytest.raises(DefinitionError) as error:
        read_declared(str(directory))
    told = str(error.value).split("\n")
    assert told[0].startswith(f"{directory}/a.yaml:7, document 1, spec.features[0].dtype: must be float32")
    assert told[1].startswith(f"{directory}/b.yml:19, document 2, (file): not YAML: ")
    assert len(told) == 2


def test_what_the_registry_finds_is_told_with_file_and_line(directory: Path) -> None:
    declared = read_declared(str(directory))
    problems = (
        "document 3, spec.features[1]: rides@1 has no feature 'colour'",
        "document 3, metadata.name: document 2 already defines Model/fares/1",
    )
    message = f"nothing was applied, 2 problems: {problems[0]}"
    reply = RegistryReply(command_id="c", status="refused", code="invalid", message=message, problems=problems)
    assert str(refusal(reply, declared)).split("\n") == [
        "nothing was applied, 2 problems:",
        f"  {directory}/b.yml:18, document 2, spec.features[1]: rides@1 has no feature 'colour'",
        f"  {directory}/b.yml:13, document 2, metadata.name: {directory}/b.yml:1, document 1 already defines Model/fares/1",
    ]


def test_a_refusal_without_problems_is_the_registrys_sentence(directory: Path) -> None:
    reply = RegistryReply(command_id="c", status="refused", code="conflict", message="look again")
    assert str(refusal(reply, read_declared(str(directory)))) == "look again"


def test_thousands_of_problems_are_told_up_to_a_limit_by_the_local_check_as_by_the_registry(directory: Path) -> None:
    unknown = "".join(f"  unknown_{number}: 1\n" for number in range(3000))
    (directory / "b.yml").write_text(FARES.replace("spec:\n", f"spec:\n{unknown}"))
    with pytest.raises(DefinitionError) as error:
        read_declared(str(directory))
    lines = str(error.value).split("\n")
    assert len(lines) == MAX_PROBLEMS
    assert lines[-1].endswith(f"spec.unknown_{MAX_PROBLEMS - 1}: unknown key (and {3000 - MAX_PROBLEMS} more problems)")
