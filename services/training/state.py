"""Everything the service knows, each part a fold of a topic; gone with the process and rebuilt at its start."""

from dataclasses import dataclass, field

from schemas.definitions import Model
from schemas.definitions.catalog import DefinitionCatalog
from schemas.events.monitoring import Alert
from services.training.ledger import Ledger


@dataclass(slots=True)
class State:
    """Definitions in force, alerts by fingerprint in their latest state, and the ledger of requests."""

    catalog: DefinitionCatalog = field(default_factory=DefinitionCatalog)
    alerts: dict[str, Alert] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def retrained_models(self) -> list[Model]:
        """The models in force that ask for their own retraining."""
        return [
            model
            for _, model in sorted(self.catalog.models.items())
            if model.spec.retraining.on or model.spec.retraining.schedule
        ]
