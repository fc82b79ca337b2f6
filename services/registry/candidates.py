"""Candidates: which become versions, which are refused, and what the probe's result does to a version. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from schemas.definitions import FeatureSet, Model, TargetType
from schemas.events.registry import CandidateRefused, CandidateRegistered, VersionProbed
from schemas.events.training import Candidate
from schemas.model_inputs import problems
from schemas.signatures import EXPIRED, INVALID, REVOKED, UNSIGNED
from schemas.vouching import SIGNER
from services.registry.authority import NOT_ASKED, Voucher
from services.registry.state import FAILED_GATES, Check, ModelState, State, Version
from services.registry.verdicts import Entry

MAX_ARTIFACT_BYTES: Final = 512 * 1024 * 1024
UNTRUSTED: Final = frozenset({UNSIGNED, INVALID, REVOKED, EXPIRED, SIGNER})
ARTIFACT_MISSING: Final = "artifact_missing"
KNOWN: Final = "known"
BINARY_CLASSES: Final = 2


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the probe found out about a version. ``latency_ms`` is the median of scoring one row."""

    model: str
    version: int
    passed: bool
    code: str | None = None
    message: str = ""
    latency_ms: float | None = None


def consider(state: State, candidate: Candidate, voucher: Voucher = NOT_ASKED, offer: str = "") -> tuple[Entry, ...]:
    """The facts that follow from a candidate, whose body has the digest ``offer``; () for one that was dealt with before.

    One that nobody vouches for becomes a version in quarantine, once for its bytes. It takes neither the id nor the bytes from
    one that is signed, and changes nothing about bytes that are a version already.
    """
    model = state.model(candidate.model)
    same_id = [v for v in model.versions.values() if v.candidate_id == candidate.candidate_id and not _worthless(v)]
    if voucher.code is not None and any(v.digest == candidate.digest for v in model.versions.values()):
        return _refused(model, candidate, voucher.code, voucher.message)
    if any(version.digest != candidate.digest for version in same_id):
        message = f"candidate {candidate.candidate_id} was offered before with other bytes; a new model needs a new candidate id."
        return _refused(model, candidate, "candidate_conflict", message)
    if same_id:
        return ()
    known = _with_bytes(model, candidate.digest)
    if known is not None and not known.reconsidered:
        return _known(model, candidate, known)
    objection = _objection(state, candidate)
    if objection is not None:
        return _refused(model, candidate, *objection)
    if known is not None:
        return _known(model, candidate, known)
    registered = CandidateRegistered(
        version=max(model.versions, default=0) + 1,
        candidate_id=candidate.candidate_id,
        digest=candidate.digest,
        metrics=_finite(candidate.metrics),
        source=candidate.lineage.source,
        group_metrics={group: _finite(values) for group, values in candidate.group_metrics.items()},
        feature_set=candidate.feature_set,
        size=candidate.size,
        proposed_by=candidate.lineage.imported_by or (voucher.principal if voucher.may_approve else None),
        key_id=voucher.key_id,
        offered_at=voucher.offered_at,
        offer=offer,
    )
    if voucher.code is None:
        return (Entry(model.name, registered),)
    distrusted = VersionProbed(version=registered.version, passed=False, code=voucher.code, message=voucher.message)
    return Entry(model.name, registered), Entry(model.name, distrusted)


def probed(state: State, result: ProbeResult) -> tuple[Entry, ...]:
    """The fact that a version was probed; () if it was already."""
    version = state.model(result.model).versions.get(result.version)
    if version is None or version.probe is not Check.PENDING:
        return ()
    fact = VersionProbed(
        version=result.version,
        passed=result.passed,
        code=result.code,
        message=result.message[:2000],
        latency_ms=result.latency_ms,
    )
    return (Entry(result.model, fact),)


def unprobed(state: State) -> tuple[tuple[str, Version], ...]:
    """Every version that still waits for its probe, with its model's name."""
    return tuple(
        (model.name, version)
        for model in state.models.values()
        for version in model.versions.values()
        if version.probe is Check.PENDING and version.rejected is None
    )


def _worthless(version: Version) -> bool:
    """Whether nobody vouches for it (any more): the same may be offered again by somebody who does."""
    return version.probe_code in UNTRUSTED or version.rejected == REVOKED


def _with_bytes(model: ModelState, digest: str) -> Version | None:
    """The newest version with these bytes."""
    found = [
        number
        for number, version in model.versions.items()
        if version.digest == digest and version.probe_code != ARTIFACT_MISSING and not _worthless(version)
    ]
    return model.versions[max(found)] if found else None


def _known(model: ModelState, candidate: Candidate, version: Version) -> tuple[Entry, ...]:
    """The answer to bytes that are a version already. One that only failed gates is judged again by those now in force."""
    usable = version.stage not in {"rejected", "quarantined"}
    message = f"version {version.number} of {model.name}, which {_standing(model, version)}, has the same bytes; "
    if version.reconsidered:
        message += "its gates are evaluated again, as they are defined now."
    else:
        message += "no new version was made." if usable else "that stands. Train or import another model."
    number = version.number if usable or version.reconsidered else None
    return _refused(model, candidate, KNOWN, message, version=number)


def _standing(model: ModelState, version: Version) -> str:
    """What has become of a version, for people."""
    if model.champion is version:
        return "is champion"
    if model.challenger is not None and model.challenger.version == version.number:
        return f"runs beside the champion as {model.challenger.route}"
    if version.rejected == FAILED_GATES:
        return "did not pass its gates"
    if version.rejected is not None:
        return f"was rejected ({version.rejected})"
    if version.probe is Check.FAILED:
        return f"is in quarantine ({version.probe_code})"
    return {"probing": "is being probed", "approved": "is approved"}.get(version.stage, "waits for approval")


def _refused(
    model: ModelState, candidate: Candidate, code: str, message: str, version: int | None = None
) -> tuple[Entry, ...]:
    if model.refusals.get(candidate.candidate_id) == code:
        return ()
    refused = CandidateRefused(
        candidate_id=candidate.candidate_id,
        digest=candidate.digest,
        code=code,
        message=message[:2000],
        version=version,
    )
    return (Entry(candidate.model, refused),)


def _objection(state: State, candidate: Candidate) -> tuple[str, str] | None:
    """Code and sentence of the first reason against a candidate."""
    definition = state.definition_of(candidate.model)
    if definition is None:
        return (
            "unknown_model",
            f"there is no Model definition called {candidate.model}; apply it, then offer the candidate again.",
        )
    if candidate.feature_set != definition.spec.feature_set:
        return (
            "feature_set",
            (
                f"the candidate reads {candidate.feature_set}, the definition of {candidate.model} says {definition.spec.feature_set}; "
                "train it again."
            ),
        )
    feature_set = state.feature_set(candidate.feature_set)
    if feature_set is None:
        return "feature_set", f"the feature set {candidate.feature_set} is not in force; apply it first."
    if candidate.size > MAX_ARTIFACT_BYTES:
        return "too_large", f"the artifact has {candidate.size} bytes; at most {MAX_ARTIFACT_BYTES} are accepted."
    return _contradiction(definition, feature_set, candidate)


def _contradiction(definition: Model, feature_set: FeatureSet, candidate: Candidate) -> tuple[str, str] | None:
    if candidate.target_type is not definition.spec.target.type:
        return (
            "target_type",
            f"the candidate predicts {candidate.target_type.value}, the definition wants {definition.spec.target.type.value}.",
        )
    found = problems(candidate.inputs, feature_set)
    allowed = definition.spec.features
    if allowed:
        foreign = sorted({name for item in candidate.inputs for name in item.features} - set(allowed))
        found.extend(f"feature {name!r} is not among the definition's features" for name in foreign)
    if found:
        return "inputs", "; ".join(found) + "."
    return _wrong_outputs(candidate)


def _wrong_outputs(candidate: Candidate) -> tuple[str, str] | None:
    outputs = candidate.outputs
    if candidate.target_type is TargetType.REGRESSION:
        return None if outputs.value else ("outputs", "a regression candidate must name its output for the value.")
    if not (outputs.probabilities or outputs.label):
        return "outputs", "a classifier must name its output for the label or for the probabilities."
    if outputs.probabilities and len(candidate.classes) < BINARY_CLASSES:
        return "outputs", "a classifier with probabilities must name its classes, in their order."
    if candidate.target_type is TargetType.BINARY and len(candidate.classes) not in (0, BINARY_CLASSES):
        return "outputs", f"a binary classifier has two classes, not {len(candidate.classes)}."
    return None


def _finite(metrics: dict[str, float | None]) -> dict[str, float | None]:
    return {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}
