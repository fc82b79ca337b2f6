"""The broker's data directory: formatted once, recognised ever after."""

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from deploy.local import java, kafka_config
from deploy.local.errors import PlatformError
from deploy.local.locks import exclusively

_FORMAT_TIMEOUT_S = 120


def cluster_id(home: Path) -> str | None:
    """Return the id of the cluster that lives in ``home``, None before it was prepared."""
    try:
        return kafka_config.cluster_id_in((home / "data" / "meta.properties").read_text())
    except FileNotFoundError:
        return None


def prepare(home: Path, template: Path, command: Sequence[str]) -> str:
    """Make ``home`` ready for a broker; a prepared one is left as it is. Returns the cluster id.

    Kafka's own StorageTool writes ``template`` once a machine (a JVM, 1.6 s); it holds the feature levels, no
    identity. Each new data directory gets a copy of it and an identity of its own.
    ``command`` is the start of a ``java`` command line, up to the main class.
    """
    known = cluster_id(home)
    if known:
        return known
    data = home / "data"
    data.mkdir(parents=True, exist_ok=True)
    _ensure_template(template, command)
    shutil.copyfile(template, data / "bootstrap.checkpoint")
    fresh = _kafka_uuid()
    draft = data / "meta.properties.draft"
    draft.write_text(kafka_config.meta_properties(fresh, _kafka_uuid()))
    draft.replace(data / "meta.properties")  # the last step: a directory is prepared or it is not
    return fresh


def _kafka_uuid() -> str:
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass  # Kafka never makes such an id: it would look like an option
    return text


def _ensure_template(template: Path, command: Sequence[str]) -> None:
    if template.exists():
        return
    with (
        # not the start-up cache's lock: a broker that records one holds that for as long as it runs
        exclusively(template.with_name(f"{template.name}.lock")),
        tempfile.TemporaryDirectory(dir=template.parent) as scratch,
    ):
        if template.exists():  # another process made it meanwhile
            return
        home = Path(scratch)
        (home / "server.properties").write_text(kafka_config.server_properties(9092, 9093))
        arguments = ["kafka.tools.StorageTool", "format", "-t", _kafka_uuid(), "-c", "server.properties"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=home,
            env=java.environment(),
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            message = f"Kafka's storage could not be formatted ({last[0]}): remove {template.parent} and try again."
            raise PlatformError(message)
        (home / "data" / "bootstrap.checkpoint").replace(template)
