"""YAML text as documents that know the line of each of their parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from schemas.definitions.problems import DefinitionError, Problem

MAX_TEXT: Final = 1024 * 1024  # characters of YAML in one file
_PART: Final = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its number, its content, and its tree with the places."""

    number: int
    content: object
    node: yaml.Node

    def line(self, path: str) -> int:
        """The line of the deepest part of ``path`` (``spec.features[2].range``) that is there; the first is 1."""
        mark, node = self.node.start_mark, self.node
        for part in _PART.findall(path):
            found = _step(node, part)
            if found is None:
                break
            mark, node = found
        return int(mark.line) + 1


def _step(node: yaml.Node, part: str) -> tuple[yaml.Mark, yaml.Node] | None:
    """The place and the content of one part of a node; of a key the place is the key's own."""
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        entry = node.value[int(part)]
        return entry.start_mark, entry
    return None


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (bombs) and without repeated keys (the later would silently win)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted in definitions", event.start_mark)
        return super().compose_node(parent, index)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} is not a string; put it in quotes", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands there twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# Two corrections towards YAML 1.2: `on`, `off`, `yes` and `no` are words (`retraining: {on: …}`, the country NO), and a
# date is text, since definitions have no dates and "2013-01-01" as a category must stay a string.
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read_documents(text: str, source: str | None = None) -> list[Document]:
    """The documents of a YAML (or JSON) text, in order, the empty ones left out.

    Raises `DefinitionError` with the line and the document where the text stops being YAML.
    """
    if len(text) > MAX_TEXT:
        raise _refused(f"{len(text)} characters; at most {MAX_TEXT}", source)
    documents: list[Document] = []
    try:
        for document in _documents(text):
            documents.append(document)  # noqa: PERF402 - what was read before an error tells where it is
    except yaml.YAMLError as error:
        line, message = _explained(error)
        raise _refused(f"not YAML: {message}", source, len(documents) + 1, line) from error
    except RecursionError:
        raise _refused("nested too deeply", source, len(documents) + 1) from None
    if not documents:
        raise _refused("holds no definition; expected kind: FeatureSet, kind: Model or kind: Key", source)
    return documents


def _documents(text: str) -> Iterator[Document]:
    loader, number = _Loader(text), 0
    try:
        while loader.check_node():
            node = loader.get_node()
            content = loader.construct_document(node)
            if node is not None and content is not None:
                number += 1
                yield Document(number, content, node)
    finally:
        loader.dispose()


def _refused(message: str, source: str | None, document: int = 1, line: int | None = None) -> DefinitionError:
    return DefinitionError((Problem(document, "(file)", message, source, line),))


def _explained(error: yaml.YAMLError) -> tuple[int | None, str]:
    """The line of an error, and what is wrong, in one sentence with its column."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return None, " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.context, error.problem) if part)
    if mark is None:
        return None, said
    hint = ""
    if error.problem == "mapping values are not allowed here" or "expected ',' or" in (error.problem or ""):
        hint = "; a text with a colon, comma, question mark or bracket in it belongs in quotes"
    return int(mark.line) + 1, f"{said}, line {mark.line + 1}, column {mark.column + 1}{hint}"
