"""The least that any Python loop must do for a prediction: decode, score, encode; no envelope, no identity, no Kafka."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from bench.inference_path.scene import Stream
from schemas.definitions import Dtype
from services.inference.serving_plan import LoadedVersion


class _Event(msgspec.Struct, gc=False):
    entity_id: str
    features: msgspec.Raw


class _Answer(msgspec.Struct, gc=False):
    entity_id: str
    score: float
    features: msgspec.Raw


def floor(stream: Stream, loaded: LoadedVersion, values: Sequence[bytes]) -> Callable[[], list[bytes]]:
    """A loop over ``values``: each event answered with its score and its own features as raw bytes."""
    numbers, names = (each.features for each in stream.inputs)
    types: dict[Dtype, Any] = {Dtype.FLOAT32: float | None, Dtype.INT64: int, Dtype.BOOL: bool, Dtype.CATEGORY: str}
    fields = [(name, types[stream.feature_set.feature(name).dtype]) for name in (*numbers, *names)]
    row = msgspec.defstruct("Row", [(f"f{place}", kind) for place, (_, kind) in enumerate(fields)],
                            rename={f"f{place}": name for place, (name, _) in enumerate(fields)}, gc=False)  # fmt: skip
    decode_event, decode_row = msgspec.json.Decoder(_Event).decode, msgspec.json.Decoder(row).decode
    encode, width = msgspec.json.Encoder().encode, len(numbers)
    codes = {name: code for code, name in enumerate(stream.feature_set.feature(names[0]).categories or ())}
    astuple = msgspec.structs.astuple

    def loop() -> list[bytes]:
        events = [decode_event(value) for value in values]
        rows: list[Any] = [astuple(decode_row(event.features)) for event in events]
        numeric = np.fromiter(chain.from_iterable(row[:width] for row in rows), np.float32, len(rows) * width)
        coded = np.fromiter((codes[name] for row in rows for name in row[width:]), np.int64, len(rows) * len(names))
        arrays = {"numeric": numeric.reshape(-1, width), "categorical": coded.reshape(-1, len(names))}
        [scores] = loaded.session.run(arrays, loaded.reader.names, 5.0).values()
        answers = zip(events, scores[:, 1].tolist(), strict=True)
        return [encode(_Answer(event.entity_id, score, event.features)) for event, score in answers]

    return loop
