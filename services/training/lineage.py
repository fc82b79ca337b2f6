"""Where a candidate comes from: the code's commit and the versions of what computed it."""

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Final

PACKAGES: Final = (
    "headrace",
    "numpy",
    "scikit-learn",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "polars",
    "protobuf",
)
COMMIT_VARIABLE: Final = "HEADRACE_COMMIT"  # for images, which carry no repository


def environment() -> dict[str, str]:
    """Package → version of everything that can change the bytes of a model; ``python`` too."""
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def commit() -> str | None:
    """The commit of the running code: HEADRACE_COMMIT, else that of the repository it lies in; None if there is none."""
    named = os.environ.get(COMMIT_VARIABLE)
    if named:
        return named
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the machine has
            cwd=Path(__file__).parent,
            capture_output=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = answer.stdout.decode(errors="replace").strip()
    return text if answer.returncode == 0 and text else None
