"""Every contract record of `schemas.events`, by its ``ce_type``; found, not listed, so a new record is covered at once."""

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import Final

from schemas import events
from schemas.events.contract import Contract

ARTIFACT_CHUNK: Final = "headrace.artifact-chunk.v1"  # the one record whose body is plain bytes


@cache
def contracts() -> MappingProxyType[str, type[Contract]]:
    """Contract classes by ``ce_type``, sorted. Imports every module of `schemas.events`."""
    for module in pkgutil.iter_modules(events.__path__):
        importlib.import_module(f"{events.__name__}.{module.name}")
    found = {
        cls.ce_type: cls
        for cls in _subclasses(Contract)
        if "ce_type" in vars(cls) and cls.__module__.startswith("schemas.")
    }
    return MappingProxyType(dict(sorted(found.items())))


def _subclasses(cls: type[Contract]) -> list[type[Contract]]:
    return [each for child in cls.__subclasses__() for each in (child, *_subclasses(child))]
