"""The whitelist of estimators: what each needs of its inputs, and its defaults. Its names are `schemas.definitions.estimators`.

Every entry is proved by the parity tests for every target type it serves; a new entry is tested without editing them.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from itertools import product
from typing import Any, Final

from schemas.definitions import Recipe, TargetType
from schemas.definitions.estimators import ENTRY_POINTS, ESTIMATORS, MAX_GRID
from services.training.errors import RunError

_OURS: Final = frozenset({"random_state", "n_jobs", "verbose", "warm_start", "copy_X", "n_iter_no_change"})


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator of the whitelist.

    ``impute``: it cannot take NaN. ``standardise``: it learns badly from numbers of different scale. ``closed`` are
    parameters that a definition may not set, each with the reason. ``refused`` are values that do not survive conversion.
    """

    name: str
    module: str
    targets: frozenset[TargetType]
    impute: bool = True
    standardise: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def load(self) -> type[Any]:
        """The class; importing it is left to the worker, since it takes seconds."""
        found: type[Any] = getattr(importlib.import_module(self.module), self.name)
        return found


def _listed(name: str, module: str, **code: Any) -> Estimator:
    """An entry whose targets and closed parameters are the contract's."""
    contract = ESTIMATORS[name]
    return Estimator(name, module, contract.targets, closed=contract.closed, **code)


_LEAVES: Final = {"min_samples_leaf": 5}
_EXP_LINK: Final = {"loss": ("poisson", "gamma")}  # skl2onnx 1.20 leaves the exponential out

WHITELIST: Final[Mapping[str, Estimator]] = {
    entry.name: entry
    for entry in (
        _listed("HistGradientBoostingClassifier", "sklearn.ensemble", impute=False, defaults={"early_stopping": False}),
        _listed("GradientBoostingClassifier", "sklearn.ensemble", refused={"loss": ("exponential",)}),
        _listed("RandomForestClassifier", "sklearn.ensemble", defaults=_LEAVES),
        _listed("ExtraTreesClassifier", "sklearn.ensemble", defaults=_LEAVES),
        _listed("DecisionTreeClassifier", "sklearn.tree", defaults=_LEAVES),
        _listed("AdaBoostClassifier", "sklearn.ensemble"),
        _listed("LogisticRegression", "sklearn.linear_model", standardise=True, defaults={"max_iter": 1000}),
        _listed("MLPClassifier", "sklearn.neural_network", standardise=True),
        _listed("GaussianNB", "sklearn.naive_bayes", standardise=True),
        _listed("HistGradientBoostingRegressor", "sklearn.ensemble", impute=False, defaults={"early_stopping": False},
                refused=_EXP_LINK),
        _listed("GradientBoostingRegressor", "sklearn.ensemble"),
        _listed("RandomForestRegressor", "sklearn.ensemble", defaults=_LEAVES),
        _listed("ExtraTreesRegressor", "sklearn.ensemble", defaults=_LEAVES),
        _listed("DecisionTreeRegressor", "sklearn.tree", defaults=_LEAVES),
        _listed("LinearRegression", "sklearn.linear_model", standardise=True),
        _listed("Ridge", "sklearn.linear_model", standardise=True),
        _listed("Lasso", "sklearn.linear_model", standardise=True),
        _listed("ElasticNet", "sklearn.linear_model", standardise=True),
        _listed("HuberRegressor", "sklearn.linear_model", standardise=True),
        _listed("PoissonRegressor", "sklearn.linear_model", standardise=True),
        _listed("MLPRegressor", "sklearn.neural_network", standardise=True, refused={"loss": ("poisson",)}),
    )
}  # fmt: skip


def find(recipe: Recipe, target: TargetType) -> Estimator:
    """The whitelist's entry. Raises `RunError` (``unknown_estimator``) that names the alternatives for this target."""
    entry = WHITELIST.get(recipe.estimator) or _installed(recipe.estimator)
    if entry is None or target not in entry.targets:
        fitting = ", ".join(sorted(name for name, other in WHITELIST.items() if target in other.targets))
        what = "is not on the whitelist" if entry is None else f"cannot learn a {target.value} target"
        message = f"spec.recipe.estimator: {recipe.estimator} {what}; for {target.value} choose one of {fitting}."
        raise RunError("unknown_estimator", message)
    return entry


def _installed(name: str) -> Estimator | None:
    """An `Estimator` that an installed package offers as an entry point of `ENTRY_POINTS`; its parity is proved in every run."""
    for point in entry_points(group=ENTRY_POINTS, name=name):
        found = point.load()
        if isinstance(found, Estimator):
            return found
    return None


def build(entry: Estimator, parameters: Mapping[str, Any], seed: int) -> Any:
    """An unfitted estimator, seeded and single-threaded. Raises `RunError` (``bad_parameter``) naming parameter and choice."""
    cls = entry.load()
    known = cls().get_params(deep=False)
    open_names = sorted(name for name in known if name not in _OURS and name not in entry.closed)
    for name, value in parameters.items():
        where = f"spec.recipe.parameters.{name}"
        if name in entry.closed:
            raise RunError("bad_parameter", f"{where}: cannot be set, {entry.closed[name]}.")
        if name not in open_names:
            message = f"{where}: not a parameter of {entry.name} that a definition may set; there are {', '.join(open_names)}."
            raise RunError("bad_parameter", message)
        if value in entry.refused.get(name, ()):
            message = f"{where}: {value!r} does not survive the conversion to ONNX; choose another value."
            raise RunError("bad_parameter", message)
    ours = {"random_state": seed, "n_jobs": 1}
    chosen = {**entry.defaults, **{name: value for name, value in ours.items() if name in known}}
    return cls(**{**chosen, **{name: _plain(value) for name, value in parameters.items()}})


def _plain(value: Any) -> Any:
    """YAML has lists where scikit-learn wants tuples (``hidden_layer_sizes: [16, 8]``)."""
    return tuple(value) if isinstance(value, list) else value


def grid(recipe: Recipe, overrides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every parameter set to try, in the definition's order; one without a search. ``overrides`` win and are not searched.

    Raises `RunError` (``search_too_large``) above `MAX_GRID` sets, (``bad_parameter``) for a search without values.
    """
    base = {**recipe.parameters, **overrides}
    axes = {name: values for name, values in recipe.search.items() if name not in overrides}
    empty = [name for name, values in axes.items() if not values]
    if empty:
        raise RunError("bad_parameter", f"spec.recipe.search.{empty[0]}: names no value to try.")
    size = 1
    for values in axes.values():
        size *= len(values)
    if size > MAX_GRID:
        message = f"spec.recipe.search: {size} combinations; at most {MAX_GRID} are tried. Leave values out."
        raise RunError("search_too_large", message)
    return [{**base, **dict(zip(axes, values, strict=True))} for values in product(*axes.values())]
