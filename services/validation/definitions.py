"""The definitions in force, and the compiled checker of each FeatureSet."""

from dataclasses import dataclass

from schemas.checks import Checker, compile_checker
from schemas.definitions import FeatureSet, Model
from schemas.definitions.catalog import DefinitionCatalog
from schemas.events.registry import DefinitionRecord
from schemas.reasons import RefusedRecordError, Rule, reason
from shared.records import Record, read


@dataclass(frozen=True, slots=True)
class CheckedSet:
    """A FeatureSet in force with its checker, and how validated records name it."""

    feature_set: FeatureSet
    checker: Checker
    ref: str
    version: str


class Definitions:
    """A fold of the definitions topic. Lookups raise `RefusedRecordError` for what is not in force."""

    def __init__(self) -> None:
        self._catalog = DefinitionCatalog()
        self._compiled: dict[str, CheckedSet] = {}  # by name@major
        self._found: dict[str, CheckedSet] = {}  # by the reference that records use, until the next definition

    def apply(self, record: Record) -> None:
        """Take one record of the definitions topic.

        Raises `RefusedRecordError`, ValidationError or `DefinitionError` for a definition that cannot be used; the one
        in force stays.
        """
        if record.value is None:
            return  # definitions are kept for ever: a tombstone is none of the registry's
        _, definition = read(DefinitionRecord, record)
        catalog = self._catalog.with_record(definition)
        compiled = {
            ref: known
            if (known := self._compiled.get(ref)) and known.feature_set == each
            else CheckedSet(each, compile_checker(each), each.ref, each.spec.version)
            for ref, each in catalog.feature_sets.items()
        }
        self._catalog, self._compiled, self._found = catalog, compiled, {}

    def checked_set(self, ref: str) -> CheckedSet:
        """The FeatureSet that ``ref`` names: ``name@major``, or a name of which one major is live."""
        found = self._found.get(ref)
        if found is None:
            found = self._compiled[self._catalog.feature_set(ref).ref]
            self._found[ref] = found
        return found

    def model(self, name: str) -> Model:
        """The model's definition; unknown_model if there is none."""
        try:
            return self._catalog.model(name)
        except KeyError:
            raise RefusedRecordError((reason("model", Rule.UNKNOWN_MODEL, "a model in force", name),)) from None
