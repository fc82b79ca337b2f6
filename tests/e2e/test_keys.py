"""Who may do what: commands and candidates count only with a signature of somebody who may give them."""

import asyncio
import json
from pathlib import Path

import pytest
from example_models import Example
from example_producer import facts_of
from foreign_models import linear, tanks
from headrace_command import Headrace, eventually

from cli.importing import import_model
from deploy.local.stack import Stack
from schemas.events.registry import VersionProbed
from schemas.topics import REGISTRY_EVENTS
from shared.settings import SigningSettings
from shared.tables import read_to_end

pytestmark = pytest.mark.kafka


def audited(stack: Stack, actor: str) -> list[dict[str, object]]:
    """Refused commands in the audit log whose claimed actor is ``actor``."""
    events = [json.loads(record.value or b"{}") for record in asyncio.run(read_to_end(stack.settings, REGISTRY_EVENTS))]
    return [
        event
        for event in events
        if event["fact"]["type"] == "command-refused" and event["fact"]["claimed_actor"] == actor
    ]


def test_a_command_that_nobody_signed_is_refused_and_audited(
    headrace: Headrace, stack: Stack, example: Example
) -> None:
    nobody = Headrace({**headrace.env, "HEADRACE_SIGNING__KEYS": None})
    said = nobody.refusal("models", "reject", example.model, "1", "--reason", "I say so", "--as", "stranger")
    assert "not signed" in said
    (entry,) = audited(stack, "stranger")
    assert entry["actor"] == "unverified"


def test_a_person_without_a_key_is_told_how_to_make_one(headrace: Headrace, example: Example) -> None:
    said = headrace.refusal("models", "reject", example.model, "1", "--reason", "no", "--as", "newcomer")
    assert "headrace keys create newcomer" in said


def test_a_key_does_what_its_role_allows_until_it_is_revoked(
    headrace: Headrace, stack: Stack, example: Example
) -> None:
    made = headrace.json("keys", "create", "guest", "--role", "approver")
    assert Path(made["private_key"]).stat().st_mode & 0o077 == 0
    reject = ("models", "reject", example.model, "1", "--reason", "no", "--as", "guest")
    assert "takes the role operator" in headrace.refusal(*reject)
    assert [entry["actor"] for entry in audited(stack, "guest")] == ["guest"]
    approve = ("models", "approve", example.model, "1", "--reason", "yes", "--as", "guest")
    assert "has no version" in headrace.refusal(*approve)  # heard, and answered on the merits
    headrace.say("keys", "revoke", "guest", "--reason", "left")
    assert "was revoked" in headrace.refusal(*approve)
    (row,) = [row for row in headrace.json("keys", "list") if row["name"] == "guest"]
    assert row["revoked_since"]
    assert "is there already" in headrace.refusal("keys", "create", "guest")


def test_an_unsigned_candidate_is_quarantined_and_never_probed(
    headrace: Headrace, stack: Stack, definitions: Path, tmp_path: Path
) -> None:
    foreign = tanks(approval="automatic")
    definitions.write_text(foreign.definitions)
    headrace.say("apply", "-f", definitions)
    unsigned = stack.settings.model_copy(update={"signing": SigningSettings()})
    file = linear(tmp_path / "tank.onnx")
    asyncio.run(import_model(unsigned, file, foreign.model, "flows=inflow,outflow", by="stranger", wait=False))
    (probed,) = eventually(
        lambda: [fact for fact in facts_of(stack.settings, foreign.model) if isinstance(fact, VersionProbed)],
        within=30,
        what="the quarantine",
    )
    assert (probed.passed, probed.code) == (False, "unsigned")
    signed = headrace.json("models", "import", file, "--model", foreign.model, "--inputs", "flows=inflow,outflow")
    assert signed["version"] == 2  # the forger has not taken the bytes
