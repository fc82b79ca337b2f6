"""What can be wrong with a deployed version, as codes that stand in `ModelStatus` and in failed predictions."""

from enum import StrEnum
from typing import Final

from shared.errors import PermanentError


class Refusal(StrEnum):
    """Why a version is not served. The first three heal when the record that is missing arrives; storage, when there is space."""

    CANDIDATE_MISSING = "candidate_missing"
    ARTIFACT_MISSING = "artifact_missing"
    DEFINITION_MISSING = "definition_missing"
    DIGEST_MISMATCH = "digest_mismatch"
    TOO_LARGE = "too_large"
    EXTERNAL_DATA = "external_data"
    NOT_A_MODEL = "not_a_model"
    SIGNATURE = "signature"
    UNSIGNED = "unsigned"
    UNTRUSTED = "untrusted"
    REVOKED_KEY = "revoked_key"
    PROBE_FAILED = "probe_failed"
    DEADLINE = "deadline"
    STORAGE = "storage"
    INTERNAL = "internal"


MAY_STILL_COME: Final = frozenset({Refusal.CANDIDATE_MISSING, Refusal.ARTIFACT_MISSING, Refusal.DEFINITION_MISSING})


class VersionRefusedError(PermanentError):
    """A version that cannot be served. ``code`` is for programs, the message for people."""

    def __init__(self, code: Refusal, message: str) -> None:
        self.code = code
        super().__init__(message)


class ScoringError(PermanentError):
    """A run of a model that gave no answer; the message is what a failed prediction says."""


class DeadlineError(ScoringError):
    """A run that was stopped because it took too long: trying fewer rows would only take as long again."""
