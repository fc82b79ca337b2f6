"""Finds breaking changes between two sets of generated JSON Schemas: ``python -m schemas.breaking OLD NEW``.

Breaking is what refuses, or no longer offers, something that the old contract promised: a removed field, a new required
field, a narrower type, enum, bound or pattern, and a ``ce_type`` that vanished without a higher version of itself.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Schema = Mapping[str, Any]
_VERSIONED: Final = re.compile(r"(.+)\.v(\d+)")
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_DEPTH: Final = 40  # recursive schemas end here


def breaking_changes(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """Every breaking change from ``old`` to ``new`` (schemas by name), one line each; empty if there is none."""
    changes: list[str] = []
    for name, schema in sorted(old.items()):
        if name in new:
            comparison = _Comparison(schema, new[name])
            changes.extend(f"{name}: {change}" for change in comparison.compare(schema, new[name], "", 0))
        elif not _has_successor(name, new):
            changes.append(f"{name}: is gone, and no higher version of it has come")
    return changes


def load(directory: Path) -> dict[str, Schema]:
    """The generated schemas in ``directory``, by name. Raises OSError or ValueError."""
    suffix = ".schema.json"
    return {
        path.name.removesuffix(suffix): json.loads(path.read_text()) for path in sorted(directory.glob(f"*{suffix}"))
    }


class _Comparison:
    """Two documents, against which references are resolved."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old, self.new = old, new

    def compare(self, old: Any, new: Any, path: str, depth: int) -> Iterator[str]:
        """Every breaking change between two schemas at ``path``."""
        old, new = _resolve(old, self.old), _resolve(new, self.new)
        if depth > _DEPTH or old == new == {}:
            return
        before, after = _variants(old), _variants(new)
        if len(before) == 1 and len(after) == 1:
            yield from self._single(_resolve(before[0], self.old), _resolve(after[0], self.new), path, depth)
            return
        for variant in before:
            best = min((list(self.compare(variant, other, path, depth + 1)) for other in after), key=len)
            if best:
                yield from (
                    best
                    if len(before) == len(after)
                    else (f"{_place(path)}: {_title(variant, self.old)} is no longer accepted",)
                )

    def _single(self, old: Schema, new: Schema, path: str, depth: int) -> Iterator[str]:
        if not _types(old) <= _types(new):
            yield f"{_place(path)}: type narrowed from {_listed(_types(old))} to {_listed(_types(new))}"
            return
        yield from _values(old, new, path)
        yield from _bounds(old, new, path)
        yield from self._properties(old, new, path, depth)
        for keyword in ("items", "additionalProperties"):
            if isinstance(new.get(keyword), dict):
                yield from self.compare(_schema(old.get(keyword, {})), new[keyword], f"{path}[]", depth + 1)
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        for position, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from self.compare(one, other, f"{path}[{position}]", depth + 1)
        if old.get("additionalProperties", True) is not False and new.get("additionalProperties", True) is False:
            yield f"{_place(path)}: further fields are no longer accepted"

    def _properties(self, old: Schema, new: Schema, path: str, depth: int) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{_place(f'{path}.{name}')}: field removed"
            else:
                yield from self.compare(before[name], after[name], f"{path}.{name}", depth + 1)
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            if name in before:
                yield f"{_place(f'{path}.{name}')}: field became required"
            else:
                yield f"{_place(f'{path}.{name}')}: new required field"


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = _allowed(old), _allowed(new)
    if after is None:
        return
    if before is None:
        yield f"{_place(path)}: narrowed to {', '.join(sorted(after))}"
    elif not before <= after:
        yield f"{_place(path)}: no longer accepts {', '.join(sorted(before - after))}"


def _bounds(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keyword in _LOWER:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{_place(path)}: {keyword} narrowed from {old.get(keyword, 'none')} to {new[keyword]}"
    for keyword in _UPPER:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{_place(path)}: {keyword} narrowed from {old.get(keyword, 'none')} to {new[keyword]}"
    for keyword in ("pattern", "format"):
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{_place(path)}: {keyword} changed from {old.get(keyword, 'none')} to {new[keyword]}"


def _variants(schema: Schema) -> list[Any]:
    variants: list[Any] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return variants


def _types(schema: Schema) -> frozenset[str]:
    declared = schema.get("type")
    if declared is None:
        declared = [
            _type_of(value) for value in [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        ]
        declared = declared or ["null", "boolean", "integer", "number", "string", "array", "object"]
    types = frozenset([declared] if isinstance(declared, str) else declared)
    return types | {"integer"} if "number" in types else types


def _type_of(value: object) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _allowed(schema: Schema) -> frozenset[str] | None:
    if "const" in schema:
        return frozenset((json.dumps(schema["const"]),))
    return frozenset(map(json.dumps, schema["enum"])) if "enum" in schema else None


def _resolve(schema: Any, document: Schema) -> Schema:
    resolved = _schema(schema)
    while "$ref" in resolved:
        target: Any = document
        for part in str(resolved["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        resolved = {**target, **{name: value for name, value in resolved.items() if name != "$ref"}}
    return resolved


def _schema(schema: Any) -> Schema:
    return schema if isinstance(schema, dict) else {}


def _has_successor(name: str, new: Mapping[str, Schema]) -> bool:
    match = _VERSIONED.fullmatch(name)
    if match is None:
        return False
    others = (_VERSIONED.fullmatch(other) for other in new)
    return any(other is not None and other[1] == match[1] and int(other[2]) > int(match[2]) for other in others)


def _title(schema: Any, document: Schema) -> str:
    resolved = _resolve(schema, document)
    return str(resolved.get("title") or resolved.get("type") or resolved)


def _listed(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))


def _place(path: str) -> str:
    return path.removeprefix(".") or "(record)"


def main(arguments: list[str]) -> int:
    """Compare two directories; 0 nothing broke, 1 something did, 2 usage."""
    if len(arguments) != 2:  # noqa: PLR2004 - OLD and NEW
        sys.stderr.write("usage: python -m schemas.breaking OLD NEW (directories of generated schemas)\n")
        return 2
    changes = breaking_changes(load(Path(arguments[0])), load(Path(arguments[1])))
    sys.stdout.writelines(f"{change}\n" for change in changes)
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
