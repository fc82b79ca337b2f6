"""pydantic's findings in our words: what a person meets who has written a definition wrongly."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from schemas.definitions.metadata import FORMS

Location = tuple[int | str, ...]
_SILENT_ABOUT_INPUT: Final = frozenset({"missing", "extra_forbidden", "value_error", "model_attributes_type"})


def sentence(item: ErrorDetails, kind: type[BaseModel] | None, location: Location) -> str:
    """What is wrong at ``location`` of a definition of ``kind``, with what would be right."""
    told = _SENTENCES.get(item["type"])
    if told is None:
        return item["msg"].removeprefix("Value error, ")
    text = told(item.get("ctx", {}), _example(kind, location), item)
    if item["type"] == "extra_forbidden":
        text += closest(str(location[-1]), _keys(kind, location[:-1]))
    if item["type"] in _SILENT_ABOUT_INPUT:
        return text
    return f"{text}, observed {_written(item['input'])}"


def closest(name: str, names: Iterable[str]) -> str:
    """A question after the nearest spelling, or nothing."""
    by_lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.8)
    if not near:  # the same words in another order: auc_roc, roc_auc
        words = sorted(name.lower().replace("-", "_").split("_"))
        near = [each for each in by_lower if sorted(each.replace("-", "_").split("_")) == words]
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


def _written(value: object) -> str:
    """As it would stand in YAML, on one line, not too long."""
    text = " ".join(yaml.safe_dump(_plain(value), default_flow_style=True, width=1000, allow_unicode=True).split())
    text = text.removesuffix(" ...")
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - a glance


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


Sentence = Callable[[Mapping[str, Any], Any, ErrorDetails], str]


def _fixed(text: str) -> Sentence:
    return lambda _context, _example, _item: text


def _bound(words: str, name: str) -> Sentence:
    return lambda context, _example, _item: f"must be {words} {context[name]:g}"


def _list(_context: Mapping[str, Any], example: Any, _item: ErrorDetails) -> str:
    return f"must be a list like {_written(example if isinstance(example, list) else ['a', 'b'])}"


def _mapping(_context: Mapping[str, Any], example: Any, _item: ErrorDetails) -> str:
    return f"must be a mapping like {_written(example)}" if isinstance(example, dict) else "must be a mapping"


def _document(_context: Mapping[str, Any], example: Any, item: ErrorDetails) -> str:
    """A part that is no mapping at all; with no example it is a whole definition."""
    text = _mapping(_context, example, item) if isinstance(example, dict) else "must be a mapping"
    return f"{text}, observed {_written(item['input'])}"


def _choice(context: Mapping[str, Any], _example: Any, item: ErrorDetails) -> str:
    choices = str(context["expected"]).replace("'", "")
    names = choices.replace(" or ", ", ").split(", ")
    near = closest(item["input"], names) if isinstance(item["input"], str) else ""
    return f"must be {choices}{near}"


def _pattern(context: Mapping[str, Any], example: Any, _item: ErrorDetails) -> str:
    return f"must be {FORMS.get(context['pattern'], f'like {example}')}"


def _items(words: str, name: str) -> Sentence:
    def told(context: Mapping[str, Any], _example: Any, _item: ErrorDetails) -> str:
        number = context[name]
        return f"must have {words} {number} {'entry' if number == 1 else 'entries'}"

    return told


def _short(context: Mapping[str, Any], _example: Any, _item: ErrorDetails) -> str:
    number = context["min_length"]
    return "must not be empty" if number == 1 else f"must have at least {number} characters"


_NUMBER: Final = _fixed("must be a number")
_WHOLE: Final = _fixed("must be a whole number")
_FLAG: Final = _fixed("must be true or false")
_SENTENCES: Final[Mapping[str, Sentence]] = MappingProxyType(
    {
        "missing": _fixed("is missing"),
        "extra_forbidden": _fixed("unknown key"),
        "string_type": _fixed("must be a text (in quotes, if it looks like a number)"),
        "string_pattern_mismatch": _pattern,
        "string_too_short": _short,
        "string_too_long": lambda context, _example, _item: f"must have at most {context['max_length']} characters",
        "int_type": _WHOLE,
        "int_parsing": _WHOLE,
        "int_from_float": _WHOLE,
        "int_parsing_size": _WHOLE,
        "finite_number": _NUMBER,
        "float_type": _NUMBER,
        "float_parsing": _NUMBER,
        "bool_type": _FLAG,
        "bool_parsing": _FLAG,
        "greater_than": _bound("above", "gt"),
        "greater_than_equal": _bound("at least", "ge"),
        "less_than": _bound("below", "lt"),
        "less_than_equal": _bound("at most", "le"),
        "literal_error": _choice,
        "enum": _choice,
        "tuple_type": _list,
        "list_type": _list,
        "dict_type": _mapping,
        "model_type": _mapping,
        "model_attributes_type": _document,
        "too_short": _items("at least", "min_length"),
        "too_long": _items("at most", "max_length"),
    }
)


def field_at(kind: type[BaseModel] | None, location: Location) -> FieldInfo | None:
    """The field that a location names; None for an entry of a list or a mapping, and for what is no field."""
    found, model = None, kind
    for part in location:
        if isinstance(part, int):
            found = None
            continue
        if model is None:
            return None
        found = next((each for name, each in model.model_fields.items() if part in (name, each.alias)), None)
        if found is None:
            return None
        model = _model_in(found.annotation)
    return found


def _example(kind: type[BaseModel] | None, location: Location) -> Any:
    field = field_at(kind, location)
    if field is not None:
        return field.examples[0] if field.examples else None
    if location and isinstance(location[-1], int):
        whole = _example(kind, location[:-1])
        return whole[0] if isinstance(whole, list) and whole else None
    return None


def _keys(kind: type[BaseModel] | None, location: Location) -> list[str]:
    """What may stand in the mapping at ``location``."""
    model: type[BaseModel] | None = kind
    for part in location:
        if isinstance(part, str) and model is not None:
            field = next((each for name, each in model.model_fields.items() if part in (name, each.alias)), None)
            model = None if field is None else _model_in(field.annotation)
    return [] if model is None else [each.alias or name for name, each in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)
