"""One digest for the same rows, whatever file, segment or library version they came from."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def digest(table: pa.Table, specification: Mapping[str, Any]) -> str:
    """SHA-256 over ``specification`` (canonical JSON) and every column: name, type, validity, values; hexadecimal.

    Numbers are hashed little-endian with nulls as 0, strings as their lengths and their UTF-8 bytes, so neither chunking
    nor buffers nor the Parquet encoding can change it.
    """
    hasher = hashlib.sha256()
    _add(hasher, json.dumps(specification, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())
    _add(hasher, str(table.num_rows).encode())
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        _add(hasher, f"{name}:{column.type}".encode())
        _add(hasher, np.packbits(pc.is_valid(column).to_numpy(zero_copy_only=False)).tobytes())
        for part in _values(column):
            _add(hasher, part)
    return hasher.hexdigest()


def _values(column: Any) -> tuple[bytes, ...]:
    kind = column.type
    if pa.types.is_string(kind):
        texts = [text.encode() for text in column.fill_null("").to_pylist()]
        lengths = np.fromiter(map(len, texts), "<i8", len(texts))
        return lengths.tobytes(), b"".join(texts)
    if pa.types.is_boolean(kind):
        return (np.packbits(column.fill_null(False).to_numpy(zero_copy_only=False)).tobytes(),)  # noqa: FBT003 - a value
    if pa.types.is_timestamp(kind):
        column, kind = column.cast(pa.int64()), pa.int64()
    little = {pa.float32(): "<f4", pa.float64(): "<f8", pa.int64(): "<i8"}[kind]
    return (column.fill_null(0).to_numpy(zero_copy_only=False).astype(little).tobytes(),)


def _add(hasher: Any, part: bytes) -> None:
    hasher.update(len(part).to_bytes(8, "little"))
    hasher.update(part)
