"""Services are independent: each one's unit tests pass in a tree from which every other service has been deleted."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.topics import SERVICES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_passes_its_unit_tests_when_all_others_are_deleted(service: str, tmp_path: Path) -> None:
    for part in ("schemas", "shared", "deploy"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "services").mkdir()
    shutil.copy(ROOT / "services" / "__init__.py", tmp_path / "services")
    shutil.copytree(ROOT / "services" / service, tmp_path / "services" / service)
    (tmp_path / "tests").mkdir()
    for scene in (ROOT / "tests").glob(
        "*.py"
    ):  # what several levels of tests share; a scene imports its own service alone
        if scene.name != "conftest.py":
            shutil.copy(scene, tmp_path / "tests")
    shutil.copytree(ROOT / "tests" / "bad_input", tmp_path / "tests" / "bad_input")
    shutil.copytree(ROOT / "tests" / "unit" / service, tmp_path / "tests" / "unit" / service)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/unit"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{tmp_path / 'tests'}", "PATH": "/usr/bin:/bin", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
