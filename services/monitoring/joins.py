"""The label join of one partition: predictions that await labels and labels that await predictions, in a local SQLite file.

The file is disposable. It never runs ahead of Kafka: what a batch wrote becomes durable when the next batch starts, because
then the batch's transaction is known to be committed. So after a kill it is at most one batch behind, and is replayed.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from services.monitoring.knowledge import Series
from shared.errors import TransientError

StoreFault: Final = sqlite3.DatabaseError
_BUGS: Final = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.NotSupportedError, sqlite3.ProgrammingError)
_dumps: Final = msgspec.json.Encoder().encode
_loads: Final = msgspec.json.Decoder().decode
VERSION: Final = 3  # of the schema: a file of another one is thrown away, like a damaged one
SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS positions (topic TEXT PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, route TEXT NOT NULL, UNIQUE (model, version, route));
CREATE TABLE IF NOT EXISTS predictions (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL, series INTEGER NOT NULL, start INTEGER NOT NULL, score REAL, predicted TEXT,
  probabilities TEXT, groups TEXT, appended INTEGER NOT NULL, UNIQUE (key, series));
CREATE INDEX IF NOT EXISTS predictions_by_window ON predictions (series, start);
CREATE TABLE IF NOT EXISTS labels (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, model TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL,
  observed INTEGER NOT NULL, appended INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS labels_by_age ON labels (model, observed);
PRAGMA user_version = {VERSION};
"""

Place = tuple[Series, int]  # a series' window, by start


class AwaitingLabel(NamedTuple):
    """A prediction to be joined. ``score`` is the positive class's probability or the predicted number."""

    series: Series
    start: int
    event_source: str
    event_id: str
    score: float | None
    predicted: Any
    probabilities: Sequence[float] | None
    appended: int
    groups: Sequence[int] | None = None  # its group by each feature by which fairness is measured


class ObservedLabel(NamedTuple):
    """A label to be joined; ``observed`` in microseconds."""

    model: str
    event_source: str
    event_id: str
    value: bool | int | float | str
    version: int
    observed: int
    appended: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction with its label."""

    score: float | None
    predicted: Any
    probabilities: Sequence[float] | None
    value: bool | int | float | str
    version: int
    groups: Sequence[int] | None = None


class Twin(NamedTuple):
    """A labelled event that a shadow and the champion of that ``version`` both scored."""

    version: int
    champion: Pair
    shadow: Pair


def join_key(model: str, event_source: str, event_id: str) -> bytes:
    """16 bytes that stand for an event of a model."""
    return hashlib.blake2b(f"{model}\0{event_source}\0{event_id}".encode(), digest_size=16).digest()


class JoinStore:
    """One partition's file. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``; a file that cannot be read is thrown away.

        Raises `TransientError` where the disk does not take it. The methods raise `StoreFault`: see `trouble`.
        """
        self._path = path
        self._series: dict[Series, int] = {}
        self._labelled: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._damaged = False
        try:
            try:
                self._connection = _open(path)
            except sqlite3.DatabaseError:
                self._erase()
                self._connection = _open(path)
            self._load_names()
        except sqlite3.DatabaseError as error:
            raise self.trouble(error) from error

    def positions(self) -> dict[str, int]:
        """The next offset to read of each topic, as of what is durable or pending."""
        return dict(self._connection.execute("SELECT topic, next FROM positions"))

    def reset(self) -> None:
        """Forget everything."""
        self._connection.close()
        self._erase()
        self._series.clear()
        self._labelled.clear()
        self._connection = _open(self._path)

    def add_predictions(self, rows: Iterable[AwaitingLabel]) -> set[Place]:
        """Keep predictions; a repeated one is kept once. Returns the windows they belong to."""
        places: set[Place] = set()
        values = []
        for row in rows:
            places.add((row.series, row.start))
            values.append(
                (
                    join_key(row.series.model, row.event_source, row.event_id),
                    self._series_id(row.series),
                    row.start,
                    row.score,
                    _dumps(row.predicted),
                    None if row.probabilities is None else _dumps(row.probabilities),
                    None if row.groups is None else _dumps(row.groups),
                    row.appended,
                )
            )
        self._connection.executemany(
            "INSERT OR IGNORE INTO predictions (key, series, start, score, predicted, probabilities, groups, appended) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        return places

    def add_labels(self, rows: Iterable[ObservedLabel]) -> set[Place]:
        """Keep labels; the highest label version of an event wins. Returns the windows whose predictions they answer."""
        keys = []
        values = []
        for row in rows:
            key = join_key(row.model, row.event_source, row.event_id)
            keys.append((key,))
            values.append((key, row.model, _dumps(row.value), row.version, row.observed, row.appended))
            self._labelled.add(row.model)
        self._connection.executemany(
            "INSERT INTO labels (key, model, value, version, observed, appended) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, observed = excluded.observed "
            "WHERE excluded.version > labels.version",
            values,
        )
        self._connection.execute("DELETE FROM temp.asked")
        self._connection.executemany("INSERT OR IGNORE INTO temp.asked VALUES (?)", keys)
        found = self._connection.execute(
            "SELECT DISTINCT s.model, s.version, s.route, p.start FROM temp.asked a "
            "CROSS JOIN predictions p ON p.key = a.key JOIN series s ON s.id = p.series"
        )
        return {(Series(model, version, route), start) for model, version, route, start in found}

    def counts(self, place: Place) -> tuple[int, int]:
        """How many predictions of a window are kept, and how many of them have their label."""
        rows, labelled = self._connection.execute(
            "SELECT count(*), count(l.id) FROM predictions p LEFT JOIN labels l ON l.key = p.key WHERE p.series = ? AND p.start = ?",
            (self._series_id(place[0]), place[1]),
        ).fetchone()
        return int(rows), int(labelled)

    def pairs(self, place: Place) -> list[Pair]:
        """The labelled predictions of a window."""
        found = self._connection.execute(
            "SELECT p.score, p.predicted, p.probabilities, l.value, l.version, p.groups FROM predictions p JOIN labels l ON l.key = p.key "
            "WHERE p.series = ? AND p.start = ?",
            (self._series_id(place[0]), place[1]),
        )
        return [_pair(*row) for row in found]

    def twins(self, place: Place) -> list[Twin]:
        """The labelled predictions of a shadow's window whose events the model's champion answered too."""
        found = self._connection.execute(
            "SELECT s.version, c.score, c.predicted, c.probabilities, p.score, p.predicted, p.probabilities, l.value, l.version "
            "FROM predictions p CROSS JOIN labels l ON l.key = p.key "
            "CROSS JOIN predictions c ON c.key = p.key AND c.start = p.start CROSS JOIN series s ON s.id = c.series "
            "WHERE p.series = ? AND p.start = ? AND s.model = ? AND s.route = 'champion'",
            (self._series_id(place[0]), place[1], place[0].model),
        )
        return [Twin(row[0], _pair(*row[1:4], *row[7:]), _pair(*row[4:])) for row in found]

    @property
    def labelled_models(self) -> Collection[str]:
        """Models of which labels may be kept."""
        return frozenset(self._labelled)

    def expire_labels(self, model: str, observed: int) -> None:
        """Forget labels of ``model`` that were observed by that moment and belong to no prediction that is kept."""
        self._connection.execute(
            "DELETE FROM labels WHERE model = ? AND observed <= ? "
            "AND NOT EXISTS (SELECT 1 FROM predictions p WHERE p.key = labels.key)",
            (model, observed),
        )

    def drop(self, place: Place) -> None:
        """Forget a window and the labels that no other prediction needs."""
        window = (self._series_id(place[0]), place[1])
        self._connection.execute(
            "DELETE FROM labels WHERE key IN (SELECT key FROM predictions WHERE series = ? AND start = ?) "
            "AND (SELECT count(*) FROM predictions o WHERE o.key = labels.key) < 2",
            window,
        )
        self._connection.execute("DELETE FROM predictions WHERE series = ? AND start = ?", window)

    def keep_windows(self, places: Collection[Place]) -> None:
        """Forget the predictions of all other windows: another process gave those up while this file lay still."""
        held = self._connection.execute(
            "SELECT s.model, s.version, s.route, p.start FROM (SELECT DISTINCT series, start FROM predictions) p "
            "JOIN series s ON s.id = p.series"
        ).fetchall()
        for model, version, route, start in held:
            place = (Series(model, version, route), start)
            if place not in places:
                self.drop(place)

    def floor(self) -> int | None:
        """When the oldest record that is still needed was appended, epoch milliseconds; None without any."""
        found = [
            row[0]
            for table in ("predictions", "labels")
            for row in self._connection.execute(f"SELECT appended FROM {table} ORDER BY id LIMIT 1")  # noqa: S608 - two fixed names
        ]
        return min(found, default=None)

    def move_to(self, positions: Mapping[str, int]) -> None:
        """Note how far the topics are read."""
        self._connection.executemany(
            "INSERT INTO positions VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET next = excluded.next",
            positions.items(),
        )

    def commit(self) -> None:
        """Make durable what was written; call it once the batch is known to be committed in Kafka."""
        self._connection.commit()

    def close(self) -> None:
        """Let go of the file; what is not committed is forgotten, and will be replayed. A damaged file is removed."""
        with contextlib.suppress(sqlite3.DatabaseError):  # a full disk may refuse even that; closing forgets it too
            self._connection.rollback()
        self._connection.close()
        if self._damaged:
            self._erase()

    def trouble(self, error: sqlite3.DatabaseError) -> Exception:
        """What to raise for ``error``: a full disk, a lock or a damaged file may pass, since the file is only a copy."""
        if isinstance(error, _BUGS):
            return error
        self._damaged = self._damaged or not isinstance(error, sqlite3.OperationalError)
        what = "is damaged and will be rebuilt" if self._damaged else "cannot be used"
        return TransientError(
            f"The label join's file {self._path} {what}: {error}. If the disk is full, free space there; nothing is lost, "
            "the partition waits."
        )

    def _series_id(self, series: Series) -> int:
        found = self._series.get(series)
        if found is None:
            self._connection.execute("INSERT INTO series (model, version, route) VALUES (?, ?, ?)", series)
            row = self._connection.execute(
                "SELECT id FROM series WHERE model = ? AND version = ? AND route = ?", series
            ).fetchone()
            found = self._series[series] = int(row[0])
        return found

    def _load_names(self) -> None:
        self._labelled.update(model for (model,) in self._connection.execute("SELECT DISTINCT model FROM labels"))
        for identity, model, version, route in self._connection.execute("SELECT id, model, version, route FROM series"):
            self._series[Series(model, version, route)] = identity

    def _erase(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _pair(
    score: float | None, predicted: str, probabilities: str | None, value: str, version: int, groups: str | None = None
) -> Pair:
    """From what the tables hold."""
    return Pair(
        score,
        _loads(predicted),
        _loads(probabilities) if probabilities else None,
        _loads(value),
        version,
        _loads(groups) if groups else None,
    )


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level="DEFERRED", check_same_thread=False)
    try:
        _refuse_other_versions(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # disposable: a torn file is replayed from the topics
        connection.executescript(SCHEMA)
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("CREATE TEMP TABLE asked (key BLOB PRIMARY KEY) WITHOUT ROWID")
        connection.execute("SELECT count(*) FROM positions").fetchone()
        connection.commit()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _refuse_other_versions(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and version != VERSION:
        problem = f"its schema is version {version}, not {VERSION}"
        raise sqlite3.DatabaseError(problem)
