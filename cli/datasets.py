"""``headrace datasets``: the data-set versions that models were trained on."""

import asyncio
import shutil
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.choosing import the_one
from cli.connection import Connection, connect
from cli.output import SHORT_DIGEST, AsJson
from schemas.envelope import header
from schemas.events.training import DatasetMaterialized
from schemas.topics import TRAINING_EVENTS
from shared.errors import RefusedError
from shared.records import read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

app = typer.Typer(no_args_is_help=True, help="Data-set versions.")
Version = Annotated[str, typer.Argument(metavar="VERSION", help="Its first characters are enough.")]


async def _materialized(settings: PlatformSettings) -> list[DatasetMaterialized]:
    records = await read_to_end(settings, TRAINING_EVENTS)
    kind = DatasetMaterialized.ce_type
    return [read(DatasetMaterialized, record)[1] for record in records if header(record.headers, "ce_type") == kind]


@app.command("list")
def list_datasets(*, json: AsJson = False) -> None:
    """All data-set versions, oldest first."""
    rows = [
        {
            "version": event.dataset.version[:SHORT_DIGEST],
            "model": event.model,
            "rows" if json else "events": event.dataset.rows,  # those without a label are in no split
            "labelled": event.dataset.labelled,
            "train": event.dataset.train_rows,
            "validation": event.dataset.validation_rows,
            "test": event.dataset.test_rows,
            "from": event.dataset.start.date().isoformat(),
            "to": event.dataset.end.date().isoformat(),
        }
        for event in asyncio.run(_materialized(connect().settings))
    ]
    output.show(rows, as_json=json, empty="No data set has been made yet; `headrace train MODEL` makes one.")


@app.command()
def show(version: Version, *, json: AsJson = False) -> None:
    """One version: bounds, split and the offsets it came from; JSON in any case."""
    del json
    output.document(_find(connect(), version).model_dump(mode="json"))


@app.command()
def verify(version: Version, *, json: AsJson = False) -> None:
    """Whether file and rows in the data-set store still are what the version's name and manifest say."""
    from services.training.dataset_files import verify as verify_files  # noqa: PLC0415 - without that service the rest still works

    connection = connect()
    file = _file(connection, _find(connection, version))
    digest = verify_files(file.with_suffix(".json"))
    if json:
        output.document({"version": digest, "file": str(file), "intact": True})
    else:
        output.say(f"{file.name} holds what its version names: the rows' digest is {digest[:SHORT_DIGEST]}….")


@app.command()
def export(
    version: Version,
    to: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    *,
    json: AsJson = False,
) -> None:
    """Copy a version's Parquet file."""
    connection = connect()
    file = _file(connection, _find(connection, version))
    shutil.copyfile(file, to)
    size = to.stat().st_size
    output.result({"file": str(to), "bytes": size}, f"Wrote {to} ({size} bytes).", as_json=json)


def _find(connection: Connection, start: str) -> DatasetMaterialized:
    found = {event.dataset.version: event for event in asyncio.run(_materialized(connection.settings))}
    return the_one(found, start, what="data-set version", name="name", listing="headrace datasets list")


def _file(connection: Connection, event: DatasetMaterialized) -> Path:
    if connection.data_dir is None:
        message = "The data-set store is on the machine where training runs; run this command there."
        raise RefusedError(message)
    for file in sorted((connection.data_dir / "training").rglob(f"*{event.dataset.version}*.parquet")):
        return file
    message = f"The store in {connection.data_dir / 'training'} does not hold {event.dataset.version[:SHORT_DIGEST]}…"
    raise RefusedError(message)
