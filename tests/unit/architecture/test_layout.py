"""Facts about the tree itself."""

import ast
import re
from pathlib import Path

import pytest

from schemas.topics import CATALOGUE, SERVICES

ROOT = Path(__file__).parents[3]
PLATFORM = ("schemas", "shared", "services", "deploy")
BUS = {"faststream", "aiokafka", "motor", "pymongo", "httpx", "prometheus_client"}
BUS |= {
    f"shared.{module}"
    for module in (
        "acknowledged_producer",
        "broker",
        "consuming",
        "kafka_clients",
        "publishing",
        "service",
        "store",
        "tables",
        "topic_admin",
        "transaction_producer",
        "transactions",
    )
}
BUS_CODE = {"app.py", "subscribers.py", "settings.py", "__main__.py"}


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_no_part_of_the_platform_knows_the_example() -> None:
    word = re.compile(r"(?<!in[ _-])(?<!In)flight|airport|nyc", re.IGNORECASE)
    knowing = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for part in PLATFORM
        for file in (ROOT / part).rglob("*")
        if file.suffix in (".py", ".md", ".yaml", ".json")
        for line in file.read_text().splitlines()
        if word.search(line)
    ]
    assert not knowing


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_skeleton(service: str) -> None:
    directory = ROOT / "services" / service
    for name in ("README.md", "settings.py", "app.py", "__main__.py"):
        assert (directory / name).is_file(), f"services/{service}/{name} is missing"
    assert len((directory / "__main__.py").read_text().splitlines()) <= 20


@pytest.mark.parametrize("service", SERVICES)
def test_domain_modules_of_a_service_never_import_the_bus(service: str) -> None:
    directory = ROOT / "services" / service
    guilty = {
        str(file.relative_to(ROOT)): found
        for file in directory.glob("*.py")
        if file.name not in BUS_CODE
        if (found := {each for name in _imports(file) for each in (name, name.split(".")[0])} & BUS)
    }
    assert not guilty


@pytest.mark.parametrize("service", SERVICES)
def test_unit_tests_of_a_service_import_no_other_service(service: str) -> None:
    others = tuple(f"services.{other}" for other in SERVICES if other != service)
    for file in (ROOT / "tests" / "unit" / service).rglob("*.py"):
        assert not [name for name in _imports(file) if name.startswith(others)], file


def test_every_topic_has_writers_and_readers_that_exist() -> None:
    known = {*SERVICES, "producers", "clients"}
    for topic in CATALOGUE:
        assert topic.writers, topic.name
        assert topic.readers, topic.name
        assert {*topic.writers, *topic.readers} <= known, topic.name
