"""From YAML text to checked definitions; every problem is reported with its place, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from schemas.definitions.documents import Document, read_documents
from schemas.definitions.feature_set import FeatureSet
from schemas.definitions.key import Key
from schemas.definitions.model import Model
from schemas.definitions.model_checks import model_problems
from schemas.definitions.problems import MAX_PROBLEMS, DefinitionError, Problem
from schemas.definitions.sentences import Location, sentence

Definition = FeatureSet | Model | Key
_ADAPTER: Final[TypeAdapter[Definition]] = TypeAdapter(Annotated[Definition, Field(discriminator="kind")])
_KINDS: Final[dict[str | int, type[BaseModel]]] = {"FeatureSet": FeatureSet, "Model": Model, "Key": Key}


@dataclass(frozen=True, slots=True)
class Declared:
    """A definition with the place where somebody wrote it."""

    definition: Definition
    document: Document
    source: str | None


def parse_definitions(text: str, source: str | None = None) -> list[Definition]:
    """All definitions of a YAML (or JSON) text, in order. ``source`` is how problems call the text, a file's name.

    Raises `DefinitionError` with every problem of every document.
    """
    return [each.definition for each in parse_declared(text, source)]


def parse_declared(text: str, source: str | None = None) -> list[Declared]:
    """The same with places, for whoever has to say later where a definition stands."""
    declared: list[Declared] = []
    problems: list[Problem] = []
    for document in read_documents(text, source):
        definition, found = _judge(document.number, document.content)
        if isinstance(definition, Model):
            found = model_problems(definition, document.number)
        problems += [replace(each, source=source, line=document.line(each.path)) for each in found]
        if definition is not None:
            declared.append(Declared(definition, document, source))
    if problems:
        raise DefinitionError(problems)
    return declared


def validate_documents(documents: Sequence[object]) -> list[Definition]:
    """Decoded documents as definitions, in order. Raises `DefinitionError` with every problem of every document."""
    definitions: list[Definition] = []
    problems: list[Problem] = []
    for number, document in enumerate(documents, start=1):
        definition, found = _judge(number, document)
        problems += found
        if definition is not None:
            definitions.append(definition)
    if problems:
        raise DefinitionError(problems)
    return definitions


def _judge(number: int, document: object) -> tuple[Definition | None, list[Problem]]:
    try:
        return _ADAPTER.validate_python(document), []
    except ValidationError as error:
        named = document.get("kind") if isinstance(document, dict) else None
        kind = _KINDS.get(named) if isinstance(named, str) else None
        return None, _problems(number, kind, error)


def _problems(document: int, kind: type[BaseModel] | None, error: ValidationError) -> list[Problem]:
    found = []
    everything = error.errors(include_url=False)
    items = [
        item
        for item in everything  # pydantic counts only the entries that are right; the wrong ones are told anyway
        if item["type"] != "too_short" or not any(_below(other["loc"], item["loc"]) for other in everything)
    ]
    for item in items[:MAX_PROBLEMS]:  # a sentence costs more than the fault it tells
        location = item["loc"][1:] if item["loc"] and item["loc"][0] in _KINDS else item["loc"]
        path = _path(location)
        if item["type"] == "located":
            context = item["ctx"]
            path, message = f"{path}.{context['path']}" if path else context["path"], context["text"]
        elif item["type"].startswith("union_tag"):
            path, message = "kind", "expected FeatureSet, Model or Key"
        else:
            message = sentence(item, kind, location)
        found.append(Problem(document, path or "(document)", message))
    if len(items) > len(found):
        found[-1] = replace(found[-1], more=len(items) - len(found))
    return found


def _below(location: Location, other: Location) -> bool:
    return len(location) > len(other) and location[: len(other)] == other


def _path(location: Location) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
