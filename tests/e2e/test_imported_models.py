"""A model made elsewhere goes the same way as one of ours: probe, gates, approval, deployment."""

from pathlib import Path

import httpx
import pytest
from example_models import START
from example_producer import balance, facts_of, records_of, serves
from foreign_models import Foreign, level, linear, pickled, reads_a_file, tanks
from headrace_command import Headrace, eventually

from deploy.local.stack import Stack
from schemas.events.inference import Prediction
from schemas.events.registry import GatesEvaluated, VersionApproved, VersionProbed, VersionRejected
from schemas.topics import PREDICTIONS

pytestmark = pytest.mark.kafka
INPUTS = ("--inputs", "flows=inflow,outflow")


@pytest.fixture
def foreign(headrace: Headrace, definitions: Path) -> Foreign:
    """Definitions in force, without a version."""
    found = tanks(approval="manual")
    definitions.write_text(found.definitions)
    headrace.say("apply", "-f", definitions)
    return found


def test_an_onnx_file_made_elsewhere_is_probed_approved_by_a_second_person_and_served(
    headrace: Headrace, stack: Stack, foreign: Foreign, tmp_path: Path
) -> None:
    model, file = foreign.model, linear(tmp_path / "tank.onnx")
    for person in ("importer", "colleague"):
        headrace.say("keys", "create", person)

    assert headrace.json("models", "import", file, "--model", model, *INPUTS, "--as", "importer")["version"] == 1
    gates = eventually(
        lambda: [fact for fact in facts_of(stack.settings, model) if isinstance(fact, GatesEvaluated)],
        within=60,
        what="evaluating the gates",
    )
    assert gates[0].passed
    assert {result.gate for result in gates[0].results} == {"latency_ms", "size_bytes"}
    alone = headrace.refusal("models", "approve", model, "1", "--reason", "mine is good", "--as", "importer")
    assert "another person must approve it" in alone
    headrace.say("models", "approve", model, "1", "--reason", "checked", "--as", "colleague")
    eventually(lambda: serves(stack.settings, model), within=60, what="serving")

    event = {
        "feature_set": f"{foreign.feature_set}@1",
        "entity_id": "tank-1",
        "occurred_at": START.isoformat(),
        "features": {"outflow": 3.0, "inflow": 10.0},
    }
    assert httpx.post(f"{stack.urls['ingestion']}/v1/events", json=event, timeout=20).status_code == 202
    balance(stack.settings)
    predictions = [each for each in records_of(stack.settings, PREDICTIONS, Prediction) if each.model == model]
    assert [(each.outputs or {})["value"] for each in predictions] == [pytest.approx(level(10.0, 3.0))]
    kinds = [fact.type for fact in facts_of(stack.settings, model)]
    assert kinds.index("version-probed") < kinds.index("gates-evaluated") < kinds.index("version-approved")
    approval = next(fact for fact in facts_of(stack.settings, model) if isinstance(fact, VersionApproved))
    assert not approval.automatic


def test_a_pickle_called_onnx_is_refused_with_a_sentence_and_never_executed(
    headrace: Headrace, foreign: Foreign, tmp_path: Path
) -> None:
    file = pickled(tmp_path / "model.onnx")
    assert "is not an ONNX model" in headrace.refusal("models", "import", file, "--model", foreign.model, *INPUTS)
    assert not (tmp_path / "executed").exists()
    assert headrace.json("models", "history", foreign.model) == []


def test_a_model_that_wants_to_read_a_file_is_quarantined_by_the_probe(
    headrace: Headrace, stack: Stack, foreign: Foreign, tmp_path: Path
) -> None:
    file = reads_a_file(tmp_path / "model.onnx")
    headrace("models", "import", file, "--model", foreign.model, *INPUTS)
    verdict = eventually(
        lambda: [
            fact
            for fact in facts_of(stack.settings, foreign.model)
            if isinstance(fact, VersionProbed | VersionRejected)
        ],
        within=60,
        what="the verdict",
    )[0]
    assert isinstance(verdict, VersionRejected) or not verdict.passed
    assert "keeps its data in another file" in verdict.message, verdict


def test_inputs_that_do_not_fit_are_explained(headrace: Headrace, foreign: Foreign, tmp_path: Path) -> None:
    file = linear(tmp_path / "model.onnx")
    imports = ("models", "import", file, "--model", foreign.model, "--inputs")
    assert "has no feature depth; it has outflow, inflow" in headrace.refusal(*imports, "flows=inflow,depth")
    assert "the model's inputs are flows" in headrace.refusal(*imports, "x=inflow,outflow")
    assert "is not like" in headrace.refusal(*imports, "inflow")
