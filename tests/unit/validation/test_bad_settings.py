"""Every bad setting of the catalogue: no service starts with it, and one line says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_input.settings import SETTINGS, BadSettings

from services.validation.settings import Settings
from shared.errors import ConfigurationError
from shared.settings import load

ROOT = Path(__file__).parents[3]
IN_A_PROCESS = ("acks", "misspelt-section", "bomb", "password-in-a-file")


def environment(row: BadSettings, directory: Path) -> dict[str, str]:
    if row.file is None:
        return dict(row.environment)
    file = directory / "headrace.yaml"
    file.write_text(row.file)
    return {**row.environment, "HEADRACE_CONFIG": str(file)}


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_a_bad_setting_is_refused_in_one_line_that_says_which(
    row: BadSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    for name, value in environment(row, tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load(Settings)
    said = str(refused.value)
    assert row.said in said
    assert "\n" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.name in IN_A_PROCESS], ids=lambda row: row.name)
def test_a_process_ends_with_that_line_and_exit_code_1(row: BadSettings, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.validation"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment(row, tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("validation: ")
    assert row.said in line
    assert done.stdout == ""


def test_the_sections_of_other_services_and_single_variables_of_others_are_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HEADRACE_REGISTRY__PROBE_SECONDS", "HEADRACE_COMMIT", "HEADRACE_ANYTHING"):
        monkeypatch.setenv(name, "1")
    assert load(Settings).validation.max_records == 1000
