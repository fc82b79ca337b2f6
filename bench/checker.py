"""How fast one core decodes and checks events: ``python -m bench.checker`` (records/s of CPU time, batches of 500)."""

import json
import random
import time
from collections.abc import Callable

from schemas.checks import compile_checker
from schemas.decoding import decode_event
from schemas.definitions import FeatureSet

BATCH = 500
ROUNDS = 20


def feature_set() -> FeatureSet:
    """Twelve features as producers send them, one derived, one rule."""
    numbers = [{"name": f"x{i}", "dtype": "float32", "range": [-100, 100], "nullable": True} for i in range(6)]
    others = [
        {"name": "kind", "dtype": "category", "categories": ["a", "b", "c"]},
        {"name": "site", "dtype": "category", "categories": ["n", "s"], "unseen": "allow"},
        {"name": "count", "dtype": "int64", "range": [0, 1000]},
        {"name": "level", "dtype": "int64"},
        {"name": "on", "dtype": "bool"},
        {"name": "code", "dtype": "string", "pattern": "[A-Z]{3}"},
        {"name": "large", "dtype": "bool", "expression": "count > 500"},
    ]
    spec = {
        "version": "1.0.0",
        "entity": "machine",
        "features": [*numbers, *others],
        "rules": [{"name": "known", "expression": "kind <> 'c' or level < 50"}],
    }
    metadata = {"name": "bench", "owner": "bench", "description": "Twelve features"}
    return FeatureSet.model_validate({"metadata": metadata, "spec": spec})


def payloads(seed: int = 7) -> list[bytes]:
    """A batch of valid events."""
    rng = random.Random(seed)
    rows = [
        {
            **{f"x{i}": round(rng.uniform(-100, 100), 3) if rng.randrange(10) else None for i in range(6)},
            "kind": rng.choice("ab"),
            "site": rng.choice("nsw"),
            "count": rng.randrange(1000),
            "level": rng.randrange(49),
            "on": rng.choice([True, False]),
            "code": rng.choice(["ABC", "XYZ"]),
        }
        for _ in range(BATCH)
    ]
    base = {"feature_set": "bench@1", "occurred_at": "2024-06-01T10:00:00Z"}
    return [json.dumps({**base, "entity_id": f"m-{i}", "features": row}).encode() for i, row in enumerate(rows)]


def rate(work: Callable[[], object]) -> float:
    """Records a second of CPU time, the best of `ROUNDS`."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return BATCH / best


def main() -> None:
    """Measure and print."""
    checker = compile_checker(feature_set())
    batch = payloads()
    rows = [decode_event(each).features for each in batch]
    if any(checker.check(rows).reasons):
        message = "the benchmark's own rows must be valid"
        raise RuntimeError(message)
    print(f"decode          {rate(lambda: [decode_event(each) for each in batch]):>10,.0f} records/s")
    print(f"check           {rate(lambda: checker.check(rows)):>10,.0f} records/s")
    print(
        f"decode + check  {rate(lambda: checker.check([decode_event(each).features for each in batch])):>10,.0f} records/s"
    )


if __name__ == "__main__":
    main()
