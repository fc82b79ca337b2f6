"""What the registry made of a candidate, for whoever waits for it."""

from typing import Any

from schemas.envelope import header
from schemas.events.registry import CandidateRefused, CandidateRegistered, RegistryEvent
from shared.errors import RefusedError
from shared.records import Record, read

Answer = CandidateRegistered | CandidateRefused


def answer_to(record: Record, candidate_id: str) -> Answer | None:
    """The registry's answer to a candidate; None if ``record`` is about something else.

    By its id: the same bytes may have been offered before, and their answer is not this one's.
    """
    if header(record.headers, "ce_type") != RegistryEvent.ce_type:
        return None
    fact = read(RegistryEvent, record)[1].fact
    if isinstance(fact, CandidateRegistered | CandidateRefused) and fact.candidate_id == candidate_id:
        return fact
    return None


def outcome(model: str, answer: Answer) -> dict[str, Any]:
    """The version that has the candidate's bytes, and a sentence. Raises `RefusedError` where there is none to be served."""
    if isinstance(answer, CandidateRegistered):
        text = f"{model} version {answer.version} is registered; `headrace models show {model}` tells its metrics, `headrace models history {model}` how its probe and gates went."
        return {"version": answer.version, "digest": answer.digest, "metrics": answer.metrics, "message": text}
    if answer.version is None:
        problem = f"The registry refused the candidate ({answer.code}): {answer.message}"
        raise RefusedError(problem)
    return {"version": answer.version, "digest": answer.digest, "message": f"Nothing new: {answer.message}"}
