r"""Header names that are no UTF-8. Any producer may write them, and aiokafka raises on them in the middle of a fetch.

It raises after it has moved the positions of other partitions whose records it then drops, and again on every try. So a
batch that holds such a name is decoded a second time, with the name's foreign bytes escaped (``\xff``); others pay nothing
but a generator.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_PREFIX: Final = struct.Struct(">qi")  # base offset, length of what follows
_MAGIC_AT: Final = 16
_WITH_HEADERS: Final = 2  # the record format that knows headers


def tolerate_header_names() -> None:
    """Have every consumer of this process decode batches this way."""
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """The batches of one fetched partition, as aiokafka's ``MemoryRecords`` gives them."""

    def __init__(self, data: bytes) -> None:
        """``data``: whole batches, the last one perhaps cut off."""
        self._data = data
        self._at = 0
        self._records: Any = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """The length of the fetched data."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether another whole batch follows."""
        found: bool = self._records.has_next()
        return found

    def next_batch(self) -> Any:
        """The next batch. Raises aiokafka's CorruptRecordException."""
        batch = self._records.next_batch()
        start = self._at
        self._at += _PREFIX.size + _PREFIX.unpack_from(self._data, start)[1]
        if self._data[start + _MAGIC_AT] < _WITH_HEADERS or batch.is_control_batch:
            return batch
        return _TolerantBatch(batch, memoryview(self._data)[start : self._at])


class _TolerantBatch:
    """A batch that is decoded again where a header's name defeats the fast decoder."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                given += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_escaped(self._data), given, None)


def _escaped(data: memoryview) -> Iterator[Any]:
    """All records of a batch by aiokafka's decoder in Python, which reads names from a buffer that we can give it."""
    batch = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()  # noqa: SLF001 - it would replace the buffer later
    batch._buffer = _Escaping(batch._buffer)  # noqa: SLF001 - see above
    return iter(batch)


class _Escaping(bytearray):
    """A buffer whose parts decode with every byte that is no UTF-8 escaped."""

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        return _Escaping(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
