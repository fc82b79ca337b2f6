"""``docs/reference/definitions.md``, made from the contracts: every field, estimator, metric and function that a definition knows."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.definitions import Dtype, FeatureSet, Key, Model, Role, TargetType
from schemas.definitions.estimators import ESTIMATORS, MAX_GRID
from schemas.definitions.metadata import FORMS
from schemas.definitions.metrics import GROUP_METRICS, METRICS, Metric
from schemas.expressions import AGGREGATES, CAST_TYPES, MAX_CHARACTERS, ROW_FUNCTIONS
from schemas.json_schemas import json_schemas

_DTYPES: Final = {
    Dtype.FLOAT32: ("a number", "rounded to float32; `range`"),
    Dtype.FLOAT64: ("a number", "models of ours take it as float32; `range`"),
    Dtype.INT64: ("a number without point or exponent", "a recipe needs it within ±2^24; `range`"),
    Dtype.BOOL: ("true or false", "0 and 1 for models"),
    Dtype.CATEGORY: ("a string of `categories`", "one-hot inside the model; `categories`, `unseen`"),
    Dtype.STRING: ("a string", "for rules, expressions and imported models, recipes cannot use it; `pattern`"),
}
_HEAD: Final = """# Definitions: reference

Made by `python -m schemas.generate` from `schemas/definitions`; do not edit. A file holds any number of definitions, divided by `---`.
`headrace apply -f FILE|DIR|-` checks all of them and puts them in force together, or none; `--dry-run` only checks. Unknown keys are
errors, YAML aliases are refused, and `on`, `yes` and `no` are words. JSON Schema: `schemas/generated`.
"""
_EXPRESSIONS: Final = f"""## Expressions

SQL over the columns of one record, at most {MAX_CHARACTERS} characters: literals, `+ - * / %`, comparisons, `and or not`, `in`, `between`, `like`,
`is null`, `case when … then … else … end`, `||`, `cast(… as TYPE)`. A null in a rule passes, as in CHECK.

| | |
|---|---|
| functions | {" ".join(f"`{name}`" for name in sorted(ROW_FUNCTIONS))} |
| types of `cast` | {" ".join(f"`{name}`" for name in sorted(CAST_TYPES))} |
| aggregates, in KPIs only | {" ".join(f"`{name}`" for name in sorted(AGGREGATES))} |

A feature's `expression` and a rule read the features. A KPI is arithmetic (`+ - * /`, numbers, parentheses) over aggregates of row
expressions; besides the features it reads `score` and `label` (binary, multiclass) or `value` (regression).
"""


def page() -> str:
    """The whole page; the same code gives the same text."""
    parts = [
        _HEAD,
        *_kind(FeatureSet),
        _dtypes(),
        *_kind(Model),
        *_kind(Key),
        _forms(),
        _EXPRESSIONS,
        *_estimators(),
        *_metrics(),
    ]
    return "\n".join(part.strip() + "\n" for part in parts)


def _kind(kind: type[BaseModel]) -> Iterator[str]:
    yield f"## {kind.__name__}\n\n{_sentence(kind.__doc__)}"
    rows = [
        _row(".".join(path), field, own)
        for path, field, own in _fields(kind, (), json_schemas()[f"definition.{kind.__name__}"])
    ]
    yield _table(("field", "type", "default", "meaning", "example"), rows)


Fields = Iterator[tuple[tuple[str, ...], FieldInfo, dict[str, Any]]]


def _fields(kind: type[BaseModel], path: tuple[str, ...], schema: dict[str, Any]) -> Fields:
    own = schema["$defs"].get(kind.__name__, schema)
    for name, field in kind.model_fields.items():
        key = field.alias or name
        inner = _model_in(field.annotation)
        many = "[]" if "tuple" in str(field.annotation) and inner is not None else ""
        here = (*path, key + many)
        yield here, field, own["properties"][key]
        if inner is not None:
            yield from _fields(inner, here, schema)


def _row(path: str, field: FieldInfo, own: dict[str, Any]) -> tuple[str, ...]:
    default = "required" if field.is_required() else f"`{_flow(own.get('default'))}`"
    example = f"`{_flow(field.examples[0])}`" if field.examples else ""
    return (f"`{path}`", _type(own), default, _sentence(field.description), example)


def _type(own: dict[str, Any]) -> str:
    if "anyOf" in own:
        return " or ".join(_type(each) for each in own["anyOf"] if each.get("type") != "null")
    if "$ref" in own:
        name = own["$ref"].rsplit("/", 1)[-1]
        enums = {"Dtype": Dtype, "Role": Role, "TargetType": TargetType}
        return " ".join(f"`{each.value}`" for each in enums[name]) if name in enums else "mapping"
    if "const" in own or "enum" in own:
        return " ".join(f"`{each}`" for each in own.get("enum", [own.get("const")]))
    if own.get("pattern") in FORMS:
        return FORMS[own["pattern"]].split(":")[0].split(" like ")[0].removeprefix("a ").removeprefix("the ")
    return _plain(own)


def _plain(own: dict[str, Any]) -> str:
    if own.get("type") == "array":
        items = own.get("items") or (own.get("prefixItems") or [{}])[0]
        return "two numbers" if "prefixItems" in own else f"list of {_type(items)}"
    names = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "mapping",
    }
    bounds = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
    limits = [f"{sign}{own[name]:g}" for name, sign in bounds.items() if name in own]
    return ", ".join([names.get(own.get("type", ""), "anything"), *limits])


def _dtypes() -> str:
    rows = [(f"`{dtype.value}`", *_DTYPES[dtype]) for dtype in Dtype]
    return "### dtypes\n\n" + _table(("dtype", "in JSON", "meaning, and keys that belong to it"), rows)


def _forms() -> str:
    lines = "\n".join(f"- {form[0].upper()}{form[1:]}." for form in FORMS.values())
    return f"## Names and durations\n\n{lines}\n\nUnits of durations: `s`, `m` (minutes), `h`, `d`, `w`."


def _estimators() -> Iterator[str]:
    yield (
        f"## Estimators and their parameters\n\nA search tries at most {MAX_GRID} combinations. `random_state`, `n_jobs` and "
        "`verbose` are the platform's. An installed package offers more as entry points of the group `headrace.estimators`; give them a "
        "name with a dot, like `acme.Boosted`: the parameters of those are for training to judge."
    )
    for name, recipe in ESTIMATORS.items():
        targets = ", ".join(sorted(target.value for target in recipe.targets))
        rows = [(f"`{each}`", str(parameter)) for each, parameter in recipe.parameters.items()]
        rows += [(f"`{each}`", f"cannot be set: {why}") for each, why in recipe.closed.items()]
        yield f"### {name}\n\nLearns: {targets}.\n\n" + _table(("parameter", "value"), rows)


def _metrics() -> Iterator[str]:
    yield (
        "## Metrics of gates\n\nMeasured on the test block by training, except `latency_ms` and `size_bytes`, which the registry's probe "
        "measures and which alone an imported version has. A metric that is not defined on the rows does not hold."
    )
    for target in TargetType:
        yield f"### {target.value}\n\n" + _table(
            ("metric", "meaning", "values"), [_metric(*each) for each in METRICS[target].items()]
        )
        rows = [_metric(*each) for each in GROUP_METRICS[target].items()]
        yield f"With `group` (others than gaps: the worst group's value, of groups with at least 30 test rows):\n\n{_table(('metric', 'meaning', 'values'), rows)}"


def _metric(name: str, metric: Metric) -> tuple[str, ...]:
    return (f"`{name}`", metric.meaning, f"{metric.low:g} … {metric.high:g}".replace("inf", "∞"))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _flow(value: Any) -> str:
    text = " ".join(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).split())
    return text.removesuffix(" ...")


def _sentence(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)
