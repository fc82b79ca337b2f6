"""The estimators that a recipe may name: which targets each learns, and which parameters a definition may set.

Names only, so that a definition can be judged where scikit-learn is not installed; training has the code, and a test of
training holds the two together. An installed package may offer more as entry points of `ENTRY_POINTS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from schemas.definitions.model import TargetType
from schemas.definitions.parameters import Parameter

ENTRY_POINTS: Final = "headrace.estimators"  # the group; what they offer is for training to load
MAX_GRID: Final = 64  # fits of one search
CLASSIFIES: Final = frozenset({TargetType.BINARY, TargetType.MULTICLASS})
REGRESSES: Final = frozenset({TargetType.REGRESSION})
_NAMESPACED: Final = frozenset(".:-")  # no class of scikit-learn has these in its name


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a definition can say of one estimator. ``closed``: parameters it has and that stay ours, each with the reason."""

    targets: frozenset[TargetType]
    parameters: Mapping[str, Parameter]
    closed: Mapping[str, str] = field(default_factory=dict)


def installed() -> frozenset[str]:
    """Estimators that packages of this environment offer as entry points; nothing is loaded."""
    return frozenset(point.name for point in entry_points(group=ENTRY_POINTS))


def may_be_installed(name: str) -> bool:
    """Whether ``name`` can be an entry point: one of this environment, or a namespaced name (``acme.Boosted``).

    Training alone knows what is installed beside it, so a namespaced name is taken on trust, and training answers.
    """
    return bool(_NAMESPACED & set(name)) or name in installed()


def names_for(target: TargetType) -> tuple[str, ...]:
    """Every estimator that learns ``target``, sorted."""
    return tuple(sorted(name for name, recipe in ESTIMATORS.items() if target in recipe.targets))


def _parameters(*groups: Mapping[str, str]) -> Mapping[str, Parameter]:
    merged = {name: Parameter(notation) for group in groups for name, notation in group.items()}
    return MappingProxyType(dict(sorted(merged.items())))


_COUNT: Final = "int [1, inf)"
_AMOUNT: Final = "number [0, inf)"
_POSITIVE: Final = "number (0, inf)"
_SHARE: Final = "number [0, 1]"
_PART: Final = "number (0, 1]"
_BALANCED: Final = {"class_weight": "'balanced' | null"}
_FOREST_BALANCED: Final = {"class_weight": "'balanced' | 'balanced_subsample' | null"}
_IMPURITY: Final = {"criterion": "'gini' | 'entropy' | 'log_loss'"}
_SPREAD: Final = {"criterion": "'squared_error' | 'absolute_error' | 'friedman_mse' | 'poisson'"}

_SPLITS: Final = {
    "ccp_alpha": _AMOUNT,
    "max_depth": f"{_COUNT} | null",
    "max_features": f"{_COUNT} | fraction (0, 1] | 'sqrt' | 'log2' | null",
    "max_leaf_nodes": "int [2, inf) | null",
    "min_impurity_decrease": _AMOUNT,
    "min_samples_leaf": f"{_COUNT} | fraction (0, 1)",
    "min_samples_split": "int [2, inf) | fraction (0, 1]",
    "min_weight_fraction_leaf": "number [0, 0.5]",
}
_TREE: Final = {**_SPLITS, "splitter": "'best' | 'random'"}
_FOREST: Final = {
    **_SPLITS,
    "bootstrap": "bool",
    "max_samples": f"{_COUNT} | fraction (0, inf) | null",
    "n_estimators": _COUNT,
}
_GRADIENT: Final = {
    **_SPLITS,
    "criterion": "'squared_error' | 'friedman_mse'",
    "learning_rate": _AMOUNT,
    "n_estimators": _COUNT,
    "subsample": _PART,
    "tol": _AMOUNT,
}
_HISTOGRAM: Final = {
    "early_stopping": "bool | 'auto'",
    "l2_regularization": _AMOUNT,
    "learning_rate": _POSITIVE,
    "max_bins": "int [2, 255]",
    "max_depth": f"{_COUNT} | null",
    "max_features": "fraction (0, 1]",
    "max_iter": _COUNT,
    "max_leaf_nodes": "int [2, inf) | null",
    "min_samples_leaf": _COUNT,
    "scoring": "text | null",
    "tol": _AMOUNT,
}
_NETWORK: Final = {
    "activation": "'identity' | 'logistic' | 'tanh' | 'relu'",
    "alpha": _AMOUNT,
    "batch_size": f"{_COUNT} | 'auto'",
    "beta_1": "number [0, 1)",
    "beta_2": "number [0, 1)",
    "early_stopping": "bool",
    "epsilon": _POSITIVE,
    "hidden_layer_sizes": f"{_COUNT} | list of {_COUNT}",
    "learning_rate": "'constant' | 'invscaling' | 'adaptive'",
    "learning_rate_init": _POSITIVE,
    "max_fun": _COUNT,
    "max_iter": _COUNT,
    "momentum": _SHARE,
    "nesterovs_momentum": "bool",
    "power_t": _AMOUNT,
    "shuffle": "bool",
    "solver": "'lbfgs' | 'sgd' | 'adam'",
    "tol": _AMOUNT,
}
_LINEAR: Final = {"fit_intercept": "bool", "tol": _AMOUNT}
_SPARSE: Final = {
    **_LINEAR,
    "alpha": _AMOUNT,
    "max_iter": f"{_COUNT} | null",
    "positive": "bool",
    "precompute": "bool",
    "selection": "'cyclic' | 'random'",
}
_LOGISTIC: Final = {
    **_LINEAR,
    **_BALANCED,
    "C": _POSITIVE,
    "dual": "bool",
    "intercept_scaling": _POSITIVE,
    "l1_ratio": f"{_SHARE} | null",
    "max_iter": "int [0, inf)",
    "penalty": "'l1' | 'l2' | 'elasticnet' | null",
    "solver": "'lbfgs' | 'liblinear' | 'newton-cg' | 'newton-cholesky' | 'sag' | 'saga'",
}
_RIDGE: Final = {
    **_LINEAR,
    "alpha": _AMOUNT,
    "max_iter": f"{_COUNT} | null",
    "positive": "bool",
    "solver": "'auto' | 'svd' | 'cholesky' | 'lsqr' | 'sparse_cg' | 'sag' | 'saga' | 'lbfgs'",
}
_ADAPTIVE: Final = {"learning_rate": _POSITIVE, "n_estimators": _COUNT}
_HUBER: Final = {**_LINEAR, "alpha": _AMOUNT, "epsilon": "number [1, inf)", "max_iter": "int [0, inf)"}
_POISSON: Final = {**_LINEAR, "alpha": _AMOUNT, "max_iter": _COUNT, "solver": "'lbfgs' | 'newton-cholesky'", "tol": _POSITIVE}  # fmt: skip
_BAYES: Final = {"priors": f"list of {_SHARE} | null", "var_smoothing": _AMOUNT}
_LOG_LOSS: Final = {"loss": "'log_loss'"}  # 'exponential' does not survive the conversion to ONNX
_HISTOGRAM_LOSS: Final = {"loss": "'squared_error' | 'absolute_error' | 'quantile'", "quantile": f"{_SHARE} | null"}
_GRADIENT_LOSS: Final = {
    "alpha": "number (0, 1)",
    "loss": "'squared_error' | 'absolute_error' | 'huber' | 'quantile'",
}

_COLUMNS: Final = "column numbers of the prepared matrix are not part of the contract"
_NO_ESTIMATOR: Final = "an estimator is no value of a definition"
_HOLD_OUT: Final = {"validation_fraction": "a random hold-out leaks the future; use search, which keeps to time"}
_NO_COLUMNS: Final = {
    "categorical_features": "categories are one-hot columns inside the ONNX graph",
    "interaction_cst": _COLUMNS,
    "monotonic_cst": _COLUMNS,
    **_HOLD_OUT,
}
_NO_ORDER: Final = {"monotonic_cst": _COLUMNS}
_NO_BAG: Final = {"oob_score": "the forward split judges instead", **_NO_ORDER}
_NO_START: Final = {"init": _NO_ESTIMATOR, **_HOLD_OUT}

ESTIMATORS: Final[Mapping[str, Recipe]] = MappingProxyType({
    "HistGradientBoostingClassifier": Recipe(CLASSIFIES, _parameters(_HISTOGRAM, _BALANCED, _LOG_LOSS), _NO_COLUMNS),
    "GradientBoostingClassifier": Recipe(CLASSIFIES, _parameters(_GRADIENT, _LOG_LOSS), _NO_START),
    "RandomForestClassifier": Recipe(CLASSIFIES, _parameters(_FOREST, _IMPURITY, _FOREST_BALANCED), _NO_BAG),
    "ExtraTreesClassifier": Recipe(CLASSIFIES, _parameters(_FOREST, _IMPURITY, _FOREST_BALANCED), _NO_BAG),
    "DecisionTreeClassifier": Recipe(CLASSIFIES, _parameters(_TREE, _IMPURITY, _BALANCED), _NO_ORDER),
    "AdaBoostClassifier": Recipe(CLASSIFIES, _parameters(_ADAPTIVE), {"estimator": _NO_ESTIMATOR}),
    "LogisticRegression": Recipe(CLASSIFIES, _parameters(_LOGISTIC)),
    "MLPClassifier": Recipe(CLASSIFIES, _parameters(_NETWORK), _HOLD_OUT),
    "GaussianNB": Recipe(CLASSIFIES, _parameters(_BAYES)),
    "HistGradientBoostingRegressor": Recipe(REGRESSES, _parameters(_HISTOGRAM, _HISTOGRAM_LOSS), _NO_COLUMNS),
    "GradientBoostingRegressor": Recipe(REGRESSES, _parameters(_GRADIENT, _GRADIENT_LOSS), _NO_START),
    "RandomForestRegressor": Recipe(REGRESSES, _parameters(_FOREST, _SPREAD), _NO_BAG),
    "ExtraTreesRegressor": Recipe(REGRESSES, _parameters(_FOREST, _SPREAD), _NO_BAG),
    "DecisionTreeRegressor": Recipe(REGRESSES, _parameters(_TREE, _SPREAD), _NO_ORDER),
    "LinearRegression": Recipe(REGRESSES, _parameters(_LINEAR, {"positive": "bool"})),
    "Ridge": Recipe(REGRESSES, _parameters(_RIDGE)),
    "Lasso": Recipe(REGRESSES, _parameters(_SPARSE)),
    "ElasticNet": Recipe(REGRESSES, _parameters(_SPARSE, {"l1_ratio": _SHARE})),
    "HuberRegressor": Recipe(REGRESSES, _parameters(_HUBER)),
    "PoissonRegressor": Recipe(REGRESSES, _parameters(_POISSON)),
    "MLPRegressor": Recipe(REGRESSES, _parameters(_NETWORK, {"loss": "'squared_error'"}), _HOLD_OUT),
})  # fmt: skip
