from typing import Any

import pytest


@pytest.fixture
def features() -> list[dict[str, Any]]:
    """The features of the set that `machines` makes; a test changes them before it does."""
    return [
        {"name": "kind", "dtype": "category", "categories": ["press", "drill"]},
        {"name": "site", "dtype": "category", "categories": ["east", "west"], "unseen": "allow"},
        {"name": "speed", "dtype": "float32", "range": [0.1, 100.1], "nullable": True},
        {"name": "load", "dtype": "float64"},
        {"name": "cycles", "dtype": "int64", "range": [0, 1000]},
        {"name": "guarded", "dtype": "bool"},
        {"name": "serial", "dtype": "string", "pattern": "[A-Z]{2}-[0-9]+", "sensitivity": "personal"},
        {"name": "work", "dtype": "float64", "nullable": True, "expression": "speed * cycles"},
        {"name": "busy", "dtype": "bool", "expression": "load > 0.5"},
    ]


@pytest.fixture
def row() -> dict[str, Any]:
    """A row that `machines` accepts."""
    return {
        "kind": "press",
        "site": "east",
        "speed": 2.5,
        "load": 0.75,
        "cycles": 10,
        "guarded": True,
        "serial": "AB-1",
    }
