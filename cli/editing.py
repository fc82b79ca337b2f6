"""Bytes in a person's editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from shared.errors import RefusedError


def edited(content: bytes) -> bytes:
    """What the person saved, in ``$VISUAL`` or ``$EDITOR``. Raises `RefusedError` where there is none or it failed.

    Editors end a file with a line feed; one that the original did not have is taken off again.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not command:
        message = "No editor is named: set EDITOR (export EDITOR=nano), or give the new body with --payload FILE."
        raise RefusedError(message)
    with tempfile.TemporaryDirectory(prefix="headrace-") as directory:
        file = Path(directory) / "body.json"
        file.write_bytes(content)
        try:
            code = subprocess.run([*command, str(file)], check=False).returncode
        except OSError as error:
            message = f"The editor {command[0]} cannot be started: {error.strerror}."
            raise RefusedError(message) from None
        if code:
            message = f"The editor {command[0]} ended with code {code}: nothing was sent."
            raise RefusedError(message)
        saved = file.read_bytes()
    return saved.removesuffix(b"\n") if not content.endswith(b"\n") else saved
