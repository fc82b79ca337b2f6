"""Session options are measured, and kept as they were unless others are clearly faster and answer the same."""

import itertools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import inference_models as models
import numpy as np
import pytest
from inference_models import REF, candidate, parcels

from schemas.envelope import Envelope
from schemas.signatures import Signed
from schemas.topics import MODELS_CANDIDATES
from services.inference.adapters.onnxruntime import OnnxSession, SessionOptions, open_session
from services.inference.errors import Refusal, ScoringError, VersionRefusedError
from services.inference.execution import DEFAULT, Optimisation, Tuning, variants
from services.inference.loading import Loader
from services.inference.roster import Roster, Wanted
from services.inference.settings import InferenceSettings
from services.inference.tuning import ARTIFACT_BYTES, Tuner, gain, same

BATCHES = [{"x": np.zeros(rows, np.float32)} for rows in (1, 1000)]
EXTENDED, BASIC = Tuning(1, Optimisation.EXTENDED), Tuning(1, Optimisation.BASIC)


class Stopwatch:
    """Time that passes only where somebody says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Model:
    """A session whose runs take ``fixed`` seconds and ``row`` for each row; ``first``: times as long for so many runs."""

    def __init__(
        self, clock: Stopwatch, *, fixed: float = 1e-4, row: float = 1e-6, value: float = 1.0, slow_until: float = 0.0
    ) -> None:
        self._clock = clock
        self._fixed = fixed
        self._row = row
        self._value = value
        self._slow_until = slow_until

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str], deadline: float) -> Mapping[str, Any]:
        del deadline
        rows = len(inputs["x"])
        self._clock.seconds += (self._fixed + rows * self._row) * (5 if self._clock.seconds < self._slow_until else 1)
        return {name: np.full(rows, self._value, np.float32) for name in outputs}


class Scene:
    """A default model, and what opens for its variants."""

    def __init__(self, *, opening: float = 0.001, default: Mapping[str, float] | None = None) -> None:
        self.clock = Stopwatch()
        self.default = Model(self.clock, **(default or {}))
        self.variants: dict[Tuning, Model | Exception] = {}
        self.opened: list[Tuning] = []
        self._opening = opening

    def open(self, artifact: bytes, tuning: Tuning) -> Model:
        del artifact
        self.opened.append(tuning)
        self.clock.seconds += self._opening
        found = self.variants.get(tuning) or Model(self.clock)
        if isinstance(found, Exception):
            raise found
        return found

    def tuned(self, tuning: Tuning = DEFAULT, artifact: bytes = b"") -> tuple[object, str]:
        tuner = Tuner(tuning, self.open, seconds=0.3, monotonic=self.clock)
        found = tuner.tune(artifact, self.default, BATCHES, ["y"])
        return found.session, found.about


def test_what_is_clearly_faster_and_answers_the_same_serves() -> None:
    scene = Scene()
    scene.variants[EXTENDED] = Model(scene.clock, fixed=0.5e-4, row=0.8e-6, value=1.000001)
    scene.variants[BASIC] = fastest = Model(scene.clock, fixed=0.2e-4, row=0.5e-6)
    session, about = scene.tuned()
    assert session is fastest
    assert about.startswith("1 thread, optimisation basic (")
    assert "of the time of 1 thread, optimisation all" in about


@pytest.mark.parametrize(
    "other",
    [
        {"fixed": 0.95e-4, "row": 0.95e-6},  # not clearly
        {"fixed": 0.1e-4, "row": 0.1e-6, "value": 1.001},  # another answer
        {"fixed": 1.6e-4, "row": 0.1e-6},  # one row alone would wait 60 microseconds longer
    ],
)
def test_the_default_stays_where_another_is_hardly_faster_answers_otherwise_or_makes_one_row_wait(
    other: dict[str, float],
) -> None:
    scene = Scene()
    scene.variants = {EXTENDED: Model(scene.clock, **other), BASIC: Model(scene.clock, **other)}
    session, about = scene.tuned()
    assert session is scene.default
    assert about == "1 thread, optimisation all (2 of 2 variants tried, none clearly faster)"


def test_a_default_that_was_only_disturbed_while_it_was_measured_stays() -> None:
    scene = Scene()
    scene.default = Model(scene.clock, slow_until=0.06)
    assert scene.tuned()[0] is scene.default
    assert scene.opened


def test_what_cannot_be_opened_or_fails_is_passed_over() -> None:
    scene = Scene()
    scene.variants[EXTENDED] = VersionRefusedError(Refusal.NOT_A_MODEL, "no")
    scene.variants[BASIC] = faster = Model(scene.clock, fixed=0.1e-4, row=0.1e-6)
    assert scene.tuned()[0] is faster

    def broken(*_: object) -> Mapping[str, Any]:
        message = "the model failed"
        raise ScoringError(message)

    faster.run = broken  # type: ignore[method-assign]
    assert scene.tuned()[0] is scene.default


def test_a_model_whose_default_fails_is_served_as_it_is() -> None:
    scene = Scene()

    def broken(*_: object) -> Mapping[str, Any]:
        message = "the model failed"
        raise ScoringError(message)

    scene.default.run = broken  # type: ignore[method-assign]
    assert scene.tuned() == (scene.default, "1 thread, optimisation all (not measured: the model failed)")


@pytest.mark.parametrize(("row", "artifact"), [(1e-4, b""), (1e-6, bytes(ARTIFACT_BYTES + 1))])
def test_a_slow_or_large_model_is_not_measured_at_all(row: float, artifact: bytes) -> None:
    scene = Scene(default={"row": row})
    session, about = scene.tuned(artifact=artifact)
    assert (session, scene.opened) == (scene.default, [])
    assert "not measured" in about


@pytest.mark.parametrize(("opening", "most"), [(0.001, 0.31), (0.04, 0.35), (0.5, 0.9)])
def test_the_time_is_bounded_beyond_what_one_opening_takes(opening: float, most: float) -> None:
    scene = Scene(opening=opening)
    scene.variants = {tuning: Model(scene.clock, fixed=0.1e-4) for tuning in variants(Tuning(4))}
    scene.tuned(Tuning(4))
    assert scene.clock.seconds <= most


def test_one_thread_is_never_tuned_to_more_and_several_are_measured_against_one() -> None:
    assert all(tuning.threads == 1 for tuning in variants(DEFAULT))
    assert Tuning(1) in variants(Tuning(4))
    assert max(tuning.threads for tuning in variants(Tuning(4))) == 4
    assert DEFAULT not in variants(DEFAULT)
    assert not any(tuning.spinning for tuning in variants(Tuning(4)))


def test_a_gain_counts_small_batches_as_much_as_large_ones() -> None:
    assert gain([1e-5, 1e-3], [2e-5, 0.5e-3]) == pytest.approx(1.0)
    assert gain([1e-5, 1e-3], [7e-5, 1e-9]) == float("inf")


def test_answers_are_the_same_by_the_letter_for_labels_and_within_a_hair_for_numbers() -> None:
    one = {"l": np.array(["a", "b"], object), "p": np.array([0.5, np.nan], np.float32)}
    assert same(one, {**one, "p": np.array([0.500001, np.nan], np.float32)})
    assert not same(one, {**one, "p": np.array([0.5001, np.nan], np.float32)})
    assert not same(one, {**one, "p": np.array([0.5, 0.5], np.float32)})
    assert not same(one, {**one, "l": np.array(["a", "c"], object)})
    assert not same(one, {**one, "p": np.array([0.5], np.float32)})


def test_a_real_model_is_measured_answers_as_before_and_leaves_one_session() -> None:
    artifact = models.binary(0.25)
    made = candidate(artifact)
    opened: list[weakref.ref[OnnxSession]] = []

    def open_(content: bytes, tuning: Tuning) -> OnnxSession:
        session = open_session(content, SessionOptions(tuning))
        opened.append(weakref.ref(session))
        return session

    ticking = itertools.count()
    tuner = Tuner(Tuning(2), open_, seconds=0.3, monotonic=lambda: next(ticking) * 2e-4)  # however busy this machine is
    loader = Loader(lambda _: artifact, lambda content: open_(content, Tuning(2)), deadline=5, tuner=tuner)
    wanted = Wanted("late", REF, 1, made.digest, "champion", 1)
    loaded = loader.load(wanted, made, parcels())
    assert "optimisation" in loaded.about
    assert len(opened) == 1 + len(variants(Tuning(2)))
    assert [ref() for ref in opened if ref() is not None] == [loaded.session]
    arrays = {"numeric": np.ones((3, 3), np.float32)}
    found = loaded.session.run(arrays, ["probabilities"], 5)["probabilities"]
    assert np.allclose(found[:, 1], 0.25)
    roster = Roster()
    roster.define(parcels())
    roster.offer(made, Signed(MODELS_CANDIDATES.name, None, None, Envelope("c", "test", made.ce_type), made.created_at))
    roster.deploy(models.deployment((1, made.digest)))
    roster.loaded(wanted, loaded)
    assert [outcome.message for outcome in roster.outcomes()] == [loaded.about]


@pytest.mark.parametrize(
    "tuning",
    [Tuning(2, spinning=True), Tuning(2, parallel=True), Tuning(1, Optimisation.BASIC), Tuning(1, Optimisation.EXTENDED)],
)  # fmt: skip
def test_every_variant_opens_and_answers(tuning: Tuning) -> None:
    session = open_session(models.binary(0.25), SessionOptions(tuning))
    found = session.run({"numeric": np.ones((2, 3), np.float32)}, ["probabilities"], 5)
    assert np.allclose(found["probabilities"][:, 1], 0.25)


def test_fixed_options_are_said_as_one_setting() -> None:
    fixed = InferenceSettings.model_validate({"session": {"threads": 2, "optimisation": "basic"}})
    assert fixed.session is not None
    assert fixed.session.tuning == Tuning(2, Optimisation.BASIC)
