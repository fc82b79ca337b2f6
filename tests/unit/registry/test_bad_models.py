"""Every model file of the catalogue before the real probe: a process of its own with bounded memory, time and no network."""

import asyncio
import time
from pathlib import Path

import pytest
import registry_models as good
from bad_input.models import FILES, MODELS, SECRET, BadModel

from services.registry.adapters.probe_process import ProbeLimits, probe
from services.registry.model_file import ModelRefusedError, inspect, parse
from services.registry.probe import ProbeAnswer

LIMITS = ProbeLimits(memory_bytes=512 * 1024**2, seconds=2)
AT_ONCE = 2
Probed = dict[str, tuple[ProbeAnswer, float, Path]]


def _laid_out(row: BadModel, directory: Path) -> Path:
    directory.mkdir()
    row.beside(directory)
    file = directory / "model.onnx"
    file.write_bytes(row.content)
    return file


async def _probe(row: BadModel, directory: Path) -> tuple[ProbeAnswer, float, Path]:
    file = _laid_out(row, directory)
    started = time.monotonic()
    answer = await probe(file, good.candidate(row.content, **row.candidate), good.feature_set(), LIMITS)
    return answer, time.monotonic() - started, directory


async def _probe_all(root: Path) -> Probed:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(row: BadModel) -> tuple[ProbeAnswer, float, Path]:
        async with room:
            return await _probe(row, root / row.name)

    return dict(zip((row.name for row in MODELS), await asyncio.gather(*map(one, MODELS)), strict=True))


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Probed:
    """All answers; the probes run once, a few at a time."""
    return asyncio.run(_probe_all(tmp_path_factory.mktemp("models")))


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_a_bad_model_is_refused_with_its_code(row: BadModel, probed: Probed) -> None:
    answer, seconds, _ = probed[row.name]
    assert answer.code == row.code, answer.message
    assert answer.message
    assert answer.latency_ms is None
    assert seconds < LIMITS.seconds + 20


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_a_bad_model_neither_runs_nor_writes_nor_repeats_what_it_points_at(row: BadModel, probed: Probed) -> None:
    answer, _, directory = probed[row.name]
    assert {path.name for path in directory.iterdir()} <= {"model.onnx", "weights.bin"}
    assert SECRET.decode() not in answer.message
    assert "root:" not in answer.message


def test_a_deadline_that_a_loop_meets_is_kept_within_a_second(probed: Probed) -> None:
    timings = {name: seconds for name, (_, seconds, _) in probed.items()}
    others = sorted(seconds for name, seconds in timings.items() if "loop" not in name)
    loop = timings["a-loop-of-2-to-the-62nd-turns"]
    print(f"a probe takes {others[len(others) // 2]:.2f} s, the endless loop {loop:.2f} s")
    assert loop < LIMITS.seconds + 2 * others[-1] + 1


@pytest.mark.parametrize("row", FILES, ids=lambda row: row.name)
def test_a_bad_file_is_refused_before_anything_is_run(row: BadModel) -> None:
    with pytest.raises(ModelRefusedError) as error:
        inspect(parse(row.content))
    assert error.value.code == row.code
