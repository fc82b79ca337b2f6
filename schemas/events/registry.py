"""The registry: commands, replies, the hash-chained audit log, deployments and definitions in force."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.events.contract import Contract, Digest, Identifier, ModelName, Time, VersionNumber


class ApplyDefinitions(Contract):
    """Put definitions in force, all or none."""

    action: Literal["apply"] = "apply"
    definitions: tuple[dict[str, Any], ...]
    dry_run: bool = False


class Approve(Contract):
    """One approval of a version."""

    action: Literal["approve"] = "approve"
    version: VersionNumber


class Reject(Contract):
    """Refuse a version for good."""

    action: Literal["reject"] = "reject"
    version: VersionNumber


class Promote(Contract):
    """Make an approved version the champion, whatever the rollout says."""

    action: Literal["promote"] = "promote"
    version: VersionNumber


class Rollback(Contract):
    """Return to ``version``, or to the champion before this one."""

    action: Literal["rollback"] = "rollback"
    version: VersionNumber | None = None


class StartChallenger(Contract):
    """Run an approved version as shadow or canary."""

    action: Literal["challenge"] = "challenge"
    version: VersionNumber
    route: Literal["shadow", "canary"]
    share: Annotated[float | None, Field(gt=0, lt=1)] = None


class StopChallenger(Contract):
    """End a challenger without promoting it."""

    action: Literal["stop-challenger"] = "stop-challenger"
    version: VersionNumber


Action = Annotated[
    ApplyDefinitions | Approve | Reject | Promote | Rollback | StartChallenger | StopChallenger,
    Field(discriminator="action"),
]


class RegistryCommand(Contract):
    """An intent with who and why. ``expected_revision`` None means "whatever it is now". Repeating a command id repeats the answer."""

    ce_type: ClassVar[str] = "headrace.registry-command.v1"

    command_id: Identifier
    model: str | None = None  # None only for ``apply``
    action: Action
    actor: Annotated[str, Field(min_length=1, max_length=100)]
    reason: Annotated[str, Field(max_length=2000)] = ""
    expected_revision: int | None = None
    issued_at: Time


class RegistryReply(Contract):
    """The answer to a command. ``code`` of a refusal: not_found, conflict, rejected, invalid, unauthorised."""

    ce_type: ClassVar[str] = "headrace.registry-reply.v1"

    command_id: Identifier
    status: Literal["accepted", "unchanged", "refused"]
    code: str | None = None
    message: str
    model: str | None = None
    revision: int | None = None
    problems: tuple[str, ...] = ()


class RegistryNudge(Contract):
    """The registry's word to itself that a probe has ended: it carries nothing and makes it look, so a forged one does no harm."""

    ce_type: ClassVar[str] = "headrace.registry-nudge.v1"


class DefinitionApplied(Contract):
    """A definition came into force; ``revision`` counts per definition."""

    type: Literal["definition-applied"] = "definition-applied"
    kind: Literal["FeatureSet", "Model", "Key"]
    name: str
    major: int
    revision: int
    definition: dict[str, Any]


class CandidateRegistered(Contract):
    """A candidate got its version number."""

    type: Literal["candidate-registered"] = "candidate-registered"
    version: VersionNumber
    candidate_id: Identifier
    digest: Digest
    metrics: dict[str, float | None] = {}
    source: Literal["trained", "imported"]
    group_metrics: dict[str, dict[str, float | None]] = {}  # feature → metric → value
    feature_set: str = ""  # name@major that it was trained on
    size: int | None = None  # bytes
    proposed_by: str | None = None  # the person who imported it, who must not approve it
    key_id: str | None = None  # of the key that signed it; None where signatures are not asked for
    offered_at: Time | None = None  # when Kafka appended it, against which a key's revocation counts
    offer: str = ""  # SHA-256 of the candidate's body: which of several offers of these bytes was judged


class CandidateRefused(Contract):
    """A candidate that did not become a version (unknown model, definition that has moved on, bytes that are one already).

    ``version``: the version that has its bytes already (code ``known``), unless that one will never be served.
    """

    type: Literal["candidate-refused"] = "candidate-refused"
    candidate_id: Identifier
    digest: Digest
    code: str
    message: str
    version: VersionNumber | None = None


class GateResult(Contract):
    """One gate: what it measures, the bound, the value, and whether it holds. A gate whose metric is absent does not hold."""

    gate: str
    bound: str
    value: float | None
    passed: bool


class VersionProbed(Contract):
    """The artifact was reassembled, verified and run on its golden rows."""

    type: Literal["version-probed"] = "version-probed"
    version: VersionNumber
    passed: bool
    code: str | None = None
    message: str = ""
    latency_ms: float | None = None


class GatesEvaluated(Contract):
    """The gates of the definition, each with its value."""

    type: Literal["gates-evaluated"] = "gates-evaluated"
    version: VersionNumber
    passed: bool
    results: tuple[GateResult, ...]


class VersionApproved(Contract):
    """One more approval; ``complete`` once there are enough."""

    type: Literal["version-approved"] = "version-approved"
    version: VersionNumber
    approvals: int
    complete: bool
    automatic: bool = False


class VersionRejected(Contract):
    """A version will not go live."""

    type: Literal["version-rejected"] = "version-rejected"
    version: VersionNumber
    code: str
    message: str


class ChallengerStarted(Contract):
    """A version runs beside the champion."""

    type: Literal["challenger-started"] = "challenger-started"
    version: VersionNumber
    route: Literal["shadow", "canary"]
    share: float | None = None


class ChallengerStopped(Contract):
    """A challenger ended without promotion."""

    type: Literal["challenger-stopped"] = "challenger-stopped"
    version: VersionNumber
    message: str


class ChampionPromoted(Contract):
    """A version became champion; ``previous`` is what a rollback returns to."""

    type: Literal["champion-promoted"] = "champion-promoted"
    version: VersionNumber
    digest: Digest
    previous: int | None
    automatic: bool = False
    evidence: tuple[str, ...] = ()


class ChampionRolledBack(Contract):
    """An earlier champion is back."""

    type: Literal["champion-rolled-back"] = "champion-rolled-back"
    version: VersionNumber
    digest: Digest
    previous: int


class ServingConfirmed(Contract):
    """Inference says that it serves this version as champion."""

    type: Literal["serving-confirmed"] = "serving-confirmed"
    version: VersionNumber


class ServingRefused(Contract):
    """Inference could not load this version."""

    type: Literal["serving-refused"] = "serving-refused"
    version: VersionNumber
    message: str


class CommandRefused(Contract):
    """A command that whoever gave it may not give. It changes nothing and counts for no revision.

    ``claimed_actor`` is what the command said; the event's ``actor`` is who signed it, or ``unverified``.
    """

    type: Literal["command-refused"] = "command-refused"
    action: str
    claimed_actor: str
    model: str | None = None
    code: str
    message: str


Fact = Annotated[
    DefinitionApplied
    | CandidateRegistered
    | CandidateRefused
    | VersionProbed
    | GatesEvaluated
    | VersionApproved
    | VersionRejected
    | ChallengerStarted
    | ChallengerStopped
    | ChampionPromoted
    | ChampionRolledBack
    | ServingConfirmed
    | ServingRefused
    | CommandRefused,
    Field(discriminator="type"),
]


class RegistryEvent(Contract):
    """One entry of the audit log. ``hash`` covers everything else in it, ``previous_hash`` too, so no entry can be changed unseen.

    ``revision`` counts the events of one model (or of one definition); ``sequence`` counts all.
    """

    ce_type: ClassVar[str] = "headrace.registry-event.v1"

    sequence: int
    model: str  # for definitions: kind/name/major
    revision: int
    fact: Fact
    actor: str
    reason: str = ""
    command_id: str | None = None
    at: Time
    previous_hash: str
    hash: str


class DeployedVersion(Contract):
    """A version as inference needs it."""

    version: VersionNumber
    digest: Digest
    offer: str = ""  # SHA-256 of the body of the candidate that is meant; "" where nobody has noted it


class Canary(Contract):
    """A canary and its share of entities in (0, 1)."""

    version: VersionNumber
    digest: Digest
    share: Annotated[float, Field(gt=0, lt=1)]
    offer: str = ""  # as in `DeployedVersion`


class Deployment(Contract):
    """What is to be served for a model."""

    ce_type: ClassVar[str] = "headrace.deployment.v1"

    model: ModelName
    feature_set: str
    champion: DeployedVersion | None
    canary: Canary | None = None
    shadows: tuple[DeployedVersion, ...] = ()
    revision: int
    at: Time


class DefinitionRecord(Contract):
    """A definition in force, as the ``definitions`` topic carries it."""

    ce_type: ClassVar[str] = "headrace.definition.v1"

    kind: Literal["FeatureSet", "Model", "Key"]
    name: str
    major: int
    revision: int
    definition: dict[str, Any]
