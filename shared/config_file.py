"""The optional YAML settings file: plain mappings only. Anchors (YAML bombs), tags and secrets in it are refused."""

from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, SecretStr

from shared.errors import ConfigurationError

MAX_BYTES: Final = 256 * 1024


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases and without repeated keys, of which the later would silently win."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                problem = f"key {name} stands there twice"
                raise yaml.YAMLError(problem)
        return super().construct_mapping(node, deep)


def read_config_file(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """The settings in ``path``. Raises `ConfigurationError` naming the file and the fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"The configuration file {path} cannot be read: {error}."
        raise ConfigurationError(message) from None
    if len(text) > MAX_BYTES:
        message = f"The configuration file {path} is larger than {MAX_BYTES} bytes."
        raise ConfigurationError(message)
    try:
        content = yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        message = f"The configuration file {path} is not plain YAML: {' '.join(str(error).split())}."
        raise ConfigurationError(message) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        message = f"The configuration file {path} must hold a mapping, not a {type(content).__name__}."
        raise ConfigurationError(message)
    for secret in _secrets(content, model):
        message = f"The configuration file {path} holds the secret {secret}: give secrets by environment variable only."
        raise ConfigurationError(message)
    return content


def _secrets(content: dict[Any, Any], model: type[BaseModel], path: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        value = content.get(name)
        if value is None:
            continue
        kinds = (field.annotation, *get_args(field.annotation))
        if SecretStr in kinds:
            found.append(path + name)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, dict):
                found.extend(_secrets(value, kind, f"{path}{name}."))
    return found
