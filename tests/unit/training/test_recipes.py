"""Every recipe of the whitelist, for every target type it serves: the graph says what the estimator says."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from training_scene import feature_set, label, model, rows

from schemas.definitions import Recipe, TargetType
from schemas.model_inputs import assemble
from services.training import graph, parity, recipes
from services.training.errors import RunError
from services.training.fitting import fit
from services.training.inputs import inputs_of
from services.training.recipes import WHITELIST
from services.training.scoring import Scorer

SMALL: dict[str, dict[str, Any]] = {
    "n_estimators": {"n_estimators": 12},
    "max_iter": {"max_iter": 30},
}
CASES = [(name, target) for name, entry in WHITELIST.items() for target in sorted(entry.targets)]


def small(name: str) -> dict[str, Any]:
    known = WHITELIST[name].load()().get_params()
    return {key: value for part, found in SMALL.items() if part in known for key, value in found.items()}


@pytest.mark.parametrize(("name", "target"), CASES)
def test_the_graph_of_every_whitelisted_recipe_agrees_with_its_estimator_on_rows_with_gaps(
    name: str, target: TargetType
) -> None:
    definition = model(target.value, name)
    inputs = inputs_of(definition, feature_set())
    given = rows(900)
    rng = np.random.default_rng(3)
    values = [label(target.value, row, rng) for row in given]
    truth = np.array(values, float) if target is TargetType.REGRESSION else np.unique(values, return_inverse=True)[1]
    if name == "PoissonRegressor":
        truth = np.exp(truth / 200)
    arrays = assemble(inputs, feature_set(), given)
    learned = {key: value[:600] for key, value in arrays.items()}
    fitted = fit(WHITELIST[name], small(name), learned, truth[:600], seed=7)
    artifact = graph.to_onnx(fitted.estimator, fitted.preparation, inputs, target)
    unseen = {key: value[600:] for key, value in arrays.items()}
    said, meant = Scorer(artifact)(unseen), fitted.predict(unseen)
    assert said.shape == meant.shape
    assert parity.mismatch_share(meant, said) <= parity.LARGEST_SHARE
    assert artifact == graph.to_onnx(fitted.estimator, fitted.preparation, inputs, target)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits, load_diabetes])
def test_bundled_data_sets_come_out_the_same_from_the_graph(load: Any) -> None:
    data, target = load(return_X_y=True)
    regression = load is load_diabetes
    entry = WHITELIST["HistGradientBoostingRegressor" if regression else "LogisticRegression"]
    arrays = {"numeric": data.astype(np.float32)}
    fitted = fit(entry, {"max_iter": 40}, arrays, target, seed=1)
    features = tuple(f"f{i}" for i in range(data.shape[1]))
    inputs = (graph.ModelInput(name="numeric", kind="numeric", features=features),)
    kind = TargetType.REGRESSION if regression else TargetType.MULTICLASS
    said = Scorer(graph.to_onnx(fitted.estimator, fitted.preparation, inputs, kind))(arrays)
    assert parity.mismatch_share(fitted.predict(arrays), said) == 0


def test_categories_alone_are_enough_for_a_model() -> None:
    arrays = {"categorical": np.array([[0], [1], [2], [-1], [-2]] * 40, np.int64)}
    truth = np.array([0, 1, 1, 0, 1] * 40)
    fitted = fit(WHITELIST["LogisticRegression"], {}, arrays, truth, seed=1)
    inputs = (graph.ModelInput(name="categorical", kind="categorical", features=("city",)),)
    said = Scorer(graph.to_onnx(fitted.estimator, fitted.preparation, inputs, TargetType.BINARY))(arrays)
    assert fitted.preparation.codes == ((-1, 0, 1, 2),)
    assert parity.mismatch_share(fitted.predict(arrays), said) == 0


def test_an_estimator_outside_the_whitelist_is_refused_with_the_alternatives() -> None:
    with pytest.raises(
        RunError, match=r"KMeans is not on the whitelist; for binary choose one of .*LogisticRegression"
    ) as error:
        recipes.find(Recipe(estimator="KMeans"), TargetType.BINARY)
    assert error.value.code == "unknown_estimator"


def test_an_estimator_for_another_target_is_refused_with_the_alternatives() -> None:
    with pytest.raises(RunError, match=r"Ridge cannot learn a multiclass target; .*RandomForestClassifier"):
        recipes.find(Recipe(estimator="Ridge"), TargetType.MULTICLASS)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        (
            "LogisticRegression",
            {"sharpness": 2},
            r"parameters\.sharpness: not a parameter of LogisticRegression .* C, ",
        ),
        ("LogisticRegression", {"n_jobs": 4}, r"n_jobs: not a parameter .* may set"),
        ("HistGradientBoostingClassifier", {"categorical_features": [1]}, "one-hot columns inside the ONNX graph"),
        ("HistGradientBoostingRegressor", {"loss": "poisson"}, "does not survive the conversion"),
    ],
)
def test_a_parameter_that_may_not_be_set_is_refused_by_name(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(RunError, match=said) as error:
        recipes.build(WHITELIST[name], parameters, seed=1)
    assert error.value.code == "bad_parameter"


def test_a_value_that_scikit_learn_refuses_is_a_bad_parameter() -> None:
    arrays = {"numeric": np.zeros((20, 2), np.float32)}
    with pytest.raises(RunError, match="max_iter") as error:
        fit(WHITELIST["LogisticRegression"], {"max_iter": -3}, arrays, np.array([0, 1] * 10), seed=1)
    assert error.value.code == "bad_parameter"


def test_overrides_win_and_are_not_searched() -> None:
    recipe = Recipe(
        estimator="Ridge", parameters={"alpha": 1.0}, search={"alpha": [0.1, 1, 10], "fit_intercept": [True, False]}
    )
    assert recipes.grid(recipe, {"alpha": 5.0}) == [
        {"alpha": 5.0, "fit_intercept": True},
        {"alpha": 5.0, "fit_intercept": False},
    ]


def test_a_search_beyond_the_limit_is_refused_before_anything_is_fitted() -> None:
    recipe = Recipe(estimator="Ridge", search={"alpha": list(range(100))})
    with pytest.raises(RunError, match="100 combinations; at most 64"):
        recipes.grid(recipe, {})
