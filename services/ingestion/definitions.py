"""The definitions in force, as far as the edge needs them: checkers, models, and the sets that live by the clock."""

from dataclasses import dataclass

from schemas.checks import Checker, compile_checker
from schemas.definitions import FeatureSet, Model
from schemas.definitions.catalog import DefinitionCatalog
from schemas.events.registry import DefinitionRecord
from schemas.reasons import RefusedRecordError, Rule, reason
from shared.records import Record, read


@dataclass(frozen=True, slots=True)
class CheckedSet:
    """A FeatureSet in force with its checker."""

    feature_set: FeatureSet
    checker: Checker


class Definitions:
    """A fold of the definitions topic. Lookups raise `RefusedRecordError` for what is not in force."""

    def __init__(self) -> None:
        self.changes = 0  # how many records were applied
        self._catalog = DefinitionCatalog()
        self._compiled: dict[str, CheckedSet] = {}  # by name@major
        self._found: dict[str, CheckedSet] = {}  # by the reference that records use, until the next definition

    def apply(self, record: Record) -> None:
        """Take one record of the definitions topic; one that cannot be used raises, and the definition in force stays."""
        if record.value is None:
            return  # definitions are kept for ever: a tombstone is none of the registry's
        _, definition = read(DefinitionRecord, record)
        catalog = self._catalog.with_record(definition)
        self._compiled = {ref: self._checked(ref, each) for ref, each in catalog.feature_sets.items()}
        self._catalog, self._found = catalog, {}
        self.changes += 1

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

    def live_sets(self) -> list[str]:
        """``name@major`` of every FeatureSet whose event time is the clock on the wall."""
        return [ref for ref, each in self._catalog.feature_sets.items() if each.spec.clock == "live"]

    def _checked(self, ref: str, feature_set: FeatureSet) -> CheckedSet:
        known = self._compiled.get(ref)
        if known is not None and known.feature_set == feature_set:
            return known
        return CheckedSet(feature_set, compile_checker(feature_set))
