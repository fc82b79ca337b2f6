"""Settings of validation: environment ``HEADRACE_VALIDATION__…``."""

from datetime import timedelta

from pydantic import Field

from shared.settings import Delivery, PlatformSettings, Section


class ValidationSettings(Section):
    """Where repeated ids are recognised (per partition, events and labels each), the batch's size, and how it is delivered."""

    window_hours: float = Field(24.0, gt=0, le=24 * 30)
    window_ids: int = Field(200_000, ge=1, le=5_000_000)
    max_records: int = Field(1000, ge=1, le=20_000)
    delivery: Delivery = Delivery.EXACTLY_ONCE

    @property
    def window_age(self) -> timedelta:
        """How long an id is remembered, in append time."""
        return timedelta(hours=self.window_hours)


class Settings(PlatformSettings):
    """Everything validation needs to know."""

    validation: ValidationSettings = ValidationSettings()
