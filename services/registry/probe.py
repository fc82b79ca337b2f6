"""The probe: a process of its own that loads and runs one model file, so that whatever the file does happens here.

``python -m services.registry.probe`` reads a `ProbeTask` from stdin and writes a `ProbeAnswer` to stdout. It never writes
anywhere else, and a crash, a memory kill or a time-out of it is an answer too (`adapters/probe_process.py`).
"""

import sys
from pathlib import Path

import msgspec

from schemas.definitions import FeatureSet
from schemas.events.training import Candidate
from services.registry import sandbox
from services.registry.model_file import ModelRefusedError, inspect, parse
from services.registry.scoring_check import check_signature, load, score_golden


class ProbeTask(msgspec.Struct, frozen=True):
    """What to probe and within which bounds. ``candidate`` and ``feature_set`` are their contracts as JSON."""

    path: str
    candidate: msgspec.Raw
    feature_set: msgspec.Raw
    memory_bytes: int
    cpu_seconds: int
    run_seconds: float


class ProbeAnswer(msgspec.Struct, frozen=True):
    """What came out. ``code`` None if the model passed."""

    code: str | None = None
    message: str = ""
    latency_ms: float | None = None


def answer(task: ProbeTask) -> ProbeAnswer:
    """Probe the file. Confines this process first; never raises for anything the file does."""
    candidate = Candidate.model_validate_json(bytes(task.candidate))
    feature_set = FeatureSet.model_validate_json(bytes(task.feature_set))
    path = Path(task.path)
    sandbox.confine(memory_bytes=task.memory_bytes + 4 * path.stat().st_size, cpu_seconds=task.cpu_seconds)
    try:
        content = path.read_bytes()
        inspect(parse(content))
        session = load(content)
        check_signature(session, candidate)
        return ProbeAnswer(latency_ms=score_golden(session, candidate, feature_set, task.run_seconds))
    except ModelRefusedError as error:
        return ProbeAnswer(error.code, str(error))
    except MemoryError:
        return ProbeAnswer("memory", "the model takes more memory than a probe may use.")
    except RecursionError:
        return ProbeAnswer("not_onnx", "the model nests its graphs too deeply.")


def main() -> None:
    """Read the task, write the answer."""
    sandbox.die_with_parent()
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=ProbeTask)
    sys.stdout.buffer.write(msgspec.json.encode(answer(task)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
