"""What a person means who types the first characters of a name."""

from collections.abc import Mapping
from typing import TypeVar

from shared.errors import RefusedError

T = TypeVar("T")


def the_one(found: Mapping[str, T], start: str, *, what: str, name: str, listing: str) -> T:
    """The one of ``found`` whose key begins with ``start``. Raises `RefusedError` for none or several; ``listing`` helps."""
    chosen = [value for key, value in found.items() if key.startswith(start)]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        problem = f"No {what} has a {name} that begins with {start!r}; `{listing}` names them."
    else:
        problem = (
            f"{len(chosen)} {what}s have a {name} that begins with {start!r}: type more of it; `{listing}` names them."
        )
    raise RefusedError(problem)
