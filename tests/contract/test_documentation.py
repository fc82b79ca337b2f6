"""What the documentation shows as definitions is accepted, together where it is complete."""

import re
from pathlib import Path

import pytest

from schemas.definitions import FeatureSet, Model, parse_definitions
from schemas.definitions.cross_checks import compile_problems, cross_check

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block[1], id=f"{page.relative_to(ROOT)}:{page.read_text()[: block.start()].count(chr(10)) + 1}")
    for page in PAGES
    for block in re.finditer(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


def test_the_readme_shows_a_feature_set_with_a_model_of_it() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    feature_set, model = parse_definitions(shown)
    assert isinstance(feature_set, FeatureSet)
    assert isinstance(model, Model)
    assert model.spec.feature_set == feature_set.ref


@pytest.mark.parametrize("block", BLOCKS)
def test_a_definition_that_is_shown_is_accepted(block: str) -> None:
    definitions = parse_definitions(block)
    sets = {each.ref: each for each in definitions if isinstance(each, FeatureSet)}
    assert [problem for each in sets.values() for problem in compile_problems(each)] == []
    for each in definitions:
        if isinstance(each, Model) and each.spec.feature_set in sets:
            assert cross_check(each, sets[each.spec.feature_set]) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:docs|schemas|examples|tests|services|cli)/[a-z0-9_/.-]+)`", page.read_text())
    assert [name for name in named if not (ROOT / name.rstrip("/")).exists()] == []
