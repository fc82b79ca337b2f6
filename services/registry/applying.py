"""``apply``: definitions are checked as a whole and come into force together, or not at all. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from schemas.definitions import Definition, DefinitionError, FeatureSet, Key, Model, Problem, validate_documents
from schemas.definitions.cross_checks import compatibility, compile_problems, cross_check
from schemas.definitions.model_checks import model_problems
from schemas.definitions.problems import capped, count
from schemas.envelope import format_time
from schemas.events.registry import ApplyDefinitions, DefinitionApplied
from services.registry.revocation import stranded
from services.registry.state import State
from services.registry.verdicts import Accepted, Entry, Refused, Unchanged, Verdict


def apply(state: State, action: ApplyDefinitions, expected_revision: int | None) -> Verdict:
    """What applying these definitions comes to; the problems of every document are reported."""
    if not action.definitions:
        return Refused("invalid", "nothing to apply: the command holds no definition.")
    try:
        definitions = validate_documents(action.definitions)
    except DefinitionError as error:
        return _invalid(error.problems)
    conflict = _conflict(state, definitions, expected_revision)
    if conflict is not None:
        return conflict
    problems = tuple(
        problem
        for number, definition in enumerate(definitions, 1)
        for problem in _problems(state, definitions, number, definition)
    )
    if problems:
        return _invalid(problems)
    return _verdict(state, definitions, dry_run=action.dry_run)


def _verdict(state: State, definitions: Sequence[Definition], *, dry_run: bool) -> Verdict:
    fresh = [definition for definition in _in_order(definitions) if _in_force(state, definition) != definition]
    if not fresh:
        return Unchanged("everything stands in force as it is.")
    names = ", ".join(_called(definition) for definition in fresh)
    if dry_run:
        return Accepted((), f"this would put in force: {names}.")
    applied = tuple(_applied(state, definition) for definition in fresh)
    keys = [definition.spec for definition in fresh if isinstance(definition, Key)]
    return Accepted(applied, f"in force: {names}.{stranded(state, keys)}")


def _applied(state: State, definition: Definition) -> Entry:
    known = state.definitions.get(definition.topic_key)
    fact = DefinitionApplied(
        kind=definition.kind,
        name=definition.metadata.name,
        major=definition.major if isinstance(definition, FeatureSet) else 1,
        revision=1 if known is None else known.revision + 1,
        definition=definition.model_dump(mode="json", by_alias=True, exclude_none=True),
    )
    return Entry(definition.topic_key, fact)


def _in_order(definitions: Sequence[Definition]) -> list[Definition]:
    """Models last, so that whoever reads the topic knows the feature sets that they need."""
    return sorted(definitions, key=lambda definition: isinstance(definition, Model))


def _called(definition: Definition) -> str:
    if isinstance(definition, FeatureSet):
        return f"FeatureSet {definition.metadata.name} {definition.spec.version}"
    return f"{definition.kind} {definition.metadata.name}"


def _in_force(state: State, definition: Definition) -> Definition | None:
    known = state.definitions.get(definition.topic_key)
    return None if known is None else known.definition


def _conflict(state: State, definitions: Sequence[Definition], expected: int | None) -> Refused | None:
    if expected is None:
        return None
    if len(definitions) != 1:
        return Refused(
            "invalid", "an expected revision belongs to one definition; apply them one by one, or leave it out."
        )
    known = state.definitions.get(definitions[0].topic_key)
    revision = 0 if known is None else known.revision
    if revision == expected:
        return None
    return Refused(
        "conflict", f"{definitions[0].topic_key} is at revision {revision}, not {expected}; look again and repeat."
    )


def _problems(state: State, definitions: Sequence[Definition], number: int, definition: Definition) -> list[Problem]:
    for earlier, other in enumerate(definitions[: number - 1], 1):
        if other.topic_key == definition.topic_key:
            return [Problem(number, "metadata.name", f"document {earlier} already defines {definition.topic_key}")]
    if isinstance(definition, FeatureSet):
        return _feature_set_problems(state, definitions, number, definition)
    if isinstance(definition, Key):
        return _key_problems(state, definitions, number, definition)
    return _model_problems(state, definitions, number, definition)


def _feature_set_problems(
    state: State, definitions: Sequence[Definition], number: int, new: FeatureSet
) -> list[Problem]:
    old = _in_force(state, new)
    if old == new:
        return []
    uncompiled = compile_problems(new)
    if uncompiled:
        return [replace(problem, document=number) for problem in uncompiled]
    found = [Problem(number, *_path(text)) for text in compatibility(old, new)] if isinstance(old, FeatureSet) else []
    applied = {definition.topic_key for definition in definitions}
    for other in state.definitions.values():
        model = other.definition
        if isinstance(model, Model) and model.topic_key not in applied and model.spec.feature_set == new.ref:
            found += [
                Problem(number, "spec", f"breaks Model {model.metadata.name}, {problem.path}: {problem.message}")
                for problem in cross_check(model, new)
            ]
    return found


def _model_problems(state: State, definitions: Sequence[Definition], number: int, new: Model) -> list[Problem]:
    unworkable = model_problems(new, number)
    feature_set = next((d for d in definitions if isinstance(d, FeatureSet) and d.ref == new.spec.feature_set), None)
    feature_set = feature_set or state.feature_set(new.spec.feature_set)
    if feature_set is None:
        text = f"{new.spec.feature_set} is neither in this apply nor in force; apply the FeatureSet with it"
        return [*unworkable, Problem(number, "spec.featureSet", text)]
    found = unworkable + [replace(problem, document=number) for problem in cross_check(new, feature_set)]
    old = _in_force(state, new)
    if (
        isinstance(old, Model)
        and old.spec.target.type is not new.spec.target.type
        and state.model(new.metadata.name).versions
    ):
        text = f"{new.metadata.name} has versions that predict {old.spec.target.type.value}; another target is another model"
        found.append(Problem(number, "spec.target.type", text))
    return found


def _key_problems(state: State, definitions: Sequence[Definition], number: int, new: Key) -> list[Problem]:
    """A key stays what it is: another public key or person is another Key, and a revocation cannot be taken back."""
    found = []
    old = _in_force(state, new)
    if isinstance(old, Key):
        if (old.spec.public_key, old.spec.principal) != (new.spec.public_key, new.spec.principal):
            text = f"{new.metadata.name} is the key {old.spec.key_id} of {old.spec.principal}; give another key another name"
            found.append(Problem(number, "spec", text))
        if old.spec.revoked is not None and new.spec.revoked is None:
            text = f"{new.metadata.name} is revoked, which cannot be taken back; make another key"
            found.append(Problem(number, "spec.revoked", text))
        found += _moved_forward(old, new, number)
    others = (*(each.definition for each in state.definitions.values()), *definitions[: number - 1])
    for other in others:
        if isinstance(other, Key) and other.topic_key != new.topic_key and other.spec.public_key == new.spec.public_key:
            text = f"{other.metadata.name} has the same public key; one key has one name"
            found.append(Problem(number, "spec.publicKey", text))
    return found


def _moved_forward(old: Key, new: Key, number: int) -> list[Problem]:
    before, after = old.spec.revoked, new.spec.revoked
    if before is None or after is None or after.since <= before.since:
        return []
    text = f"{new.metadata.name} is revoked as of {format_time(before.since)}; that may be moved back, never forward"
    return [Problem(number, "spec.revoked.since", text)]


def _path(text: str) -> tuple[str, str]:
    path, colon, message = text.partition(": ")
    return (path, message) if colon else ("spec", text)


def _invalid(problems: Sequence[Problem]) -> Refused:
    """The refusal, within bounds whatever was sent: a reply that its topic refused would be asked for again for ever."""
    number, told = count(problems), tuple(map(str, capped(problems)))
    counted = "1 problem" if number == 1 else f"{number} problems"
    return Refused("invalid", f"nothing was applied, {counted}: {told[0]}", told)
