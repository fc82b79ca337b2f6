"""Settings of the notifier, under ``HEADRACE_NOTIFIER__…``. Secrets come from the environment or a file, never from YAML in git."""

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.events.monitoring import Severity
from shared.settings import PlatformSettings, Section

_NUMERIC: Final = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)$")


def _http(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        host, usable = parts.hostname or "", parts.scheme in ("http", "https") and parts.port != 0
        if _NUMERIC.search(host.rpartition(".")[2]) and ":" not in host:
            ip_address(host)  # decimal, octal and shortened addresses mean different things to different programs
    except ValueError:
        host, usable = "", False
    if not (host and usable):
        problem = "expected an http:// or https:// address with a host"
        raise ValueError(problem)
    return value


Address = Annotated[SecretStr, AfterValidator(_http)]


class SlackSettings(Section):
    """An incoming webhook, or a bot token with a channel: then one alert is one thread, and its message shows its state."""

    webhook_url: Address | None = None
    token: SecretStr | None = None
    channel: str | None = Field(None, pattern=r"^[A-Za-z0-9#_.-]{1,80}$")
    api_url: Address = SecretStr("https://slack.com/api/")
    min_severity: Severity = "inform"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.token is None) != (self.channel is None):
            problem = "token and channel belong together"
            raise ValueError(problem)
        if self.token is not None and self.webhook_url is not None:
            problem = "either webhook_url, or token and channel"
            raise ValueError(problem)
        return self


class WebhookSettings(Section):
    """Any HTTP endpoint. With a ``secret``, ``X-Headrace-Signature: sha256=<hex>`` is the HMAC of timestamp, a dot and the body."""

    url: Address | None = None
    secret: SecretStr | None = None
    min_severity: Severity = "inform"


class StormSettings(Section):
    """From how many alerts within ``window`` on people get one message of them all, and then one each ``window`` at most."""

    threshold: int = Field(20, ge=2, le=10_000)
    window: timedelta = Field(timedelta(minutes=1), ge=timedelta(seconds=1), le=timedelta(minutes=4))


class NotifierSettings(Section):
    """Where to send, and how long to try."""

    slack: SlackSettings = SlackSettings()
    webhook: WebhookSettings = WebhookSettings()
    storm: StormSettings = StormSettings()
    allowed_hosts: tuple[str, ...] = ()  # names or addresses that may be private, e.g. 127.0.0.1
    ignore_older_than: timedelta = timedelta(hours=1)  # of a first start: what was appended before that is history
    late_after: timedelta = timedelta(minutes=15)  # from then on a message says how old it is
    timeout_seconds: float = Field(10.0, gt=0, le=60)
    give_up_after_seconds: float = Field(300.0, gt=0, le=500)


class Settings(PlatformSettings):
    """Everything that the notifier reads."""

    notifier: NotifierSettings = NotifierSettings()
