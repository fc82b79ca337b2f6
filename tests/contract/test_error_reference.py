"""The page of error codes says neither less nor more than the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input.envelopes import ENVELOPES
from bad_input.records import BODIES

from schemas.reasons import Reason, Rule
from services.inference.errors import Refusal
from services.ingestion.problems import status_of
from services.registry.candidates import UNTRUSTED
from shared.errors import EXIT_CONFIGURATION, EXIT_RESTART

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"
ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)
CODE = re.compile(r"[a-z]+([_-][a-z]+)*")
# What only several records, or a definition of its own, can provoke: unit tests of validation have them.
ELSEWHERE = {Rule.ID_CONFLICT, Rule.AMBIGUOUS_FEATURE_SET, Rule.DERIVATION, Rule.OUTPUT_TOO_LARGE}


def section(title: str) -> list[tuple[str, list[str]]]:
    """The rows below ``title``: code and the other cells."""
    text = PAGE.read_text().split(f"\n## {title}\n", maxsplit=1)[1].split("\n## ")[0]
    return [(code, [cell.strip() for cell in cells.split("|")]) for code, cells in ROW.findall(text)]


def codes(title: str) -> list[str]:
    return [code for code, _ in section(title)]


def calls(directory: str, *names: str) -> Iterator[ast.Call]:
    """Every call of a function or class of one of these names."""
    for path in (ROOT / directory).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
                yield node


def texts(node: ast.AST) -> set[str]:
    """The constants in ``node`` that look like a code."""
    found = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return {text for text in found if CODE.fullmatch(text)}


def arguments(directory: str, position: int, *names: str) -> set[str]:
    return {
        text for call in calls(directory, *names) if len(call.args) > position for text in texts(call.args[position])
    }


def pairs(path: str) -> set[str]:
    """First elements of the pairs (code, sentence) in a module."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
            found |= texts(node.elts[0])
    return found


PROBE = (
    arguments("services/registry", 0, "ModelRefusedError", "ProbeAnswer")
    | arguments("services/registry", 1, "_code")
    | pairs("services/registry/adapters/probe_process.py")
    | {"artifact_missing"}
)
WRITTEN = {
    "Records": {rule.value for rule in Rule},
    "HTTP problems": arguments("services/ingestion", 1, "Problem") | {"http-404", "http-405", "http-500"},
    "Dead letters": {"permanent", "transient", "unexpected"},
    "Model files": PROBE | UNTRUSTED,
    "Candidates": pairs("services/registry/candidates.py") | {"candidate_conflict"},
    "Commands": arguments("services/registry", 0, "Refused"),
    "Versions at inference": {refusal.value for refusal in Refusal},
    "Training runs": arguments("services/training", 0, "RunError"),
}


@pytest.mark.parametrize("title", WRITTEN)
def test_a_section_lists_exactly_the_codes_that_are_written(title: str) -> None:
    listed = codes(title)
    assert len(listed) == len(set(listed))
    assert set(listed) == WRITTEN[title]


def test_dead_letters_have_no_other_codes() -> None:
    text = (ROOT / "shared/dead_letters.py").read_text() + (ROOT / "shared/consuming.py").read_text()
    found = set(re.findall(r'"(permanent|transient|unexpected)"', text))
    assert found == WRITTEN["Dead letters"]
    given = [
        keyword.value for call in calls("services", "dead_letter") for keyword in call.keywords if keyword.arg == "code"
    ]
    assert {text for each in given if isinstance(each, ast.Constant) for text in texts(each)} <= WRITTEN["Dead letters"]


@pytest.mark.parametrize("code", [rule.value for rule in Rule])
def test_the_status_on_the_page_is_the_one_that_is_answered(code: str) -> None:
    cells = dict(section("Records"))[code]
    answered = status_of([Reason(field="f", rule=code, expected="e", observed="o")])
    assert cells[0] in ("–", str(answered))


def test_where_a_record_ends_is_what_the_catalogue_says() -> None:
    quarantined = {row.code for row in BODIES}
    dead = {row.code for row in ENVELOPES if row.kafka is not None}
    for code, cells in section("Records"):
        places = set(cells[1].split(", "))
        if code not in ELSEWHERE:
            assert places == {"Q"} & ({"Q"} if code in quarantined else set()) | ({"D"} if code in dead else set()), (
                code
            )


def test_every_rule_stands_in_the_catalogue_of_bad_input() -> None:
    rows = {row.code for row in BODIES} | {row.code for row in ENVELOPES}
    assert rows | {rule.value for rule in ELSEWHERE} == {rule.value for rule in Rule}


def test_exit_codes_are_those_of_the_services() -> None:
    assert {str(EXIT_CONFIGURATION), str(EXIT_RESTART), "0", "2"} == set(codes("Exit codes"))
