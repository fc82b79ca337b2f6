"""Data-set versions on disk: immutable Parquet named by digest, a JSON manifest beside it. Same version, same bytes.

Layout: ``<root>/datasets/<model>/<version>.parquet`` and ``.json``. The manifest is written last: a version without one does
not exist.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from services.training import canonical
from services.training.dataset import Dataset
from services.training.durable import write_durably
from services.training.errors import RunError

ROW_GROUP: Final = 65_536
_WRITER: Final[dict[str, Any]] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": True,
    "write_statistics": True,
    "data_page_version": "1.0",
    "row_group_size": ROW_GROUP,
    "store_schema": False,
}


@dataclass(frozen=True, slots=True)
class Materialized:
    """Where a version lies and the SHA-256 of its Parquet file."""

    parquet: Path
    manifest: Path
    sha256: str


def materialize(dataset: Dataset, model: str, root: Path) -> Materialized:
    """Write ``dataset`` unless its version is there already; the files are durable on return."""
    directory = root / "datasets" / model
    directory.mkdir(parents=True, exist_ok=True)
    parquet = directory / f"{dataset.version.version}.parquet"
    manifest = parquet.with_suffix(".json")
    if manifest.exists() and parquet.exists():
        return Materialized(parquet, manifest, str(json.loads(manifest.read_bytes())["parquet_sha256"]))
    write_durably(parquet, lambda place: pq.write_table(dataset.table, place, **_WRITER))
    checksum = file_digest(parquet)
    content = {
        "model": model,
        "dataset": dataset.version.model_dump(mode="json"),
        "specification": dataset.specification,
        "features": list(dataset.features),
        "label": dataset.label,
        "late_labels": dataset.late_labels,
        "parquet": parquet.name,
        "parquet_sha256": checksum,
    }
    text = json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"
    write_durably(manifest, lambda place: place.write_bytes(text))
    return Materialized(parquet, manifest, checksum)


def verify(manifest: Path) -> str:
    """The version that the manifest's Parquet file really holds.

    Raises `RunError` (``dataset_altered``) when file or rows are not what the manifest says.
    """
    content = json.loads(manifest.read_bytes())
    parquet = manifest.with_name(content["parquet"])
    found = canonical.digest(pq.read_table(parquet), content["specification"])
    if file_digest(parquet) != content["parquet_sha256"] or found != content["dataset"]["version"]:
        message = (
            f"{parquet} is not the data set that its manifest describes: it was altered. Train again to rebuild it."
        )
        raise RunError("dataset_altered", message)
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
