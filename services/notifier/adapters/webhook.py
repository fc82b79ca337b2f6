"""A generic webhook: the notice as JSON, signed, to one address; redirects refused."""

import asyncio
import hashlib
import hmac
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec

from schemas.events.monitoring import Severity
from schemas.reasons import OBSERVED_LIMIT
from services.notifier.adapters.addresses import checked_address
from services.notifier.delivery import BusyError
from services.notifier.notices import Notice
from shared.clock import Clock
from shared.errors import PermanentError, TransientError

ANSWER_LIMIT: Final = 64 * 1024  # bytes of an answer that are read
DEFAULT_RETRY_SECONDS: Final = 5.0
_TOO_MANY: Final = 429
_REDIRECT, _CLIENT, _SERVER = 300, 400, 500
_PASSING: Final = frozenset({408, 425, _TOO_MANY})


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What ``X-Headrace-Signature`` carries: HMAC-SHA256 of ``timestamp.body``. Receivers should refuse old timestamps."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookChannel:
    """A `services.notifier.delivery.Channel`. Enter it before use."""

    name = "webhook"
    for_people = False

    def __init__(
        self, url: str, *, secret: str | None, least: Severity, allowed: Collection[str], timeout: float, clock: Clock
    ) -> None:
        """``timeout`` seconds for all of one call."""
        self.least: Severity = least
        self._url = httpx.URL(url)
        self._secret = secret
        self._allowed = allowed
        self._timeout = timeout
        self._clock = clock
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=timeout)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, notice: Notice, opened: str | None) -> None:
        """See `Channel`; a webhook knows no messages to continue."""
        del opened
        try:
            async with asyncio.timeout(self._timeout):
                await self._post(notice)
        except TimeoutError:
            message = f"The webhook did not answer within {self._timeout:g} s."
            raise TransientError(message) from None

    async def _post(self, notice: Notice) -> None:
        request = await self._request(notice)
        try:
            response = await self._client.send(request, stream=True)
            try:
                text = await _head(response)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            message = f"The webhook cannot be reached: {type(error).__name__}."
            raise TransientError(message) from error
        _judge(response, text)

    async def _request(self, notice: Notice) -> httpx.Request:
        host = self._url.host
        address = await checked_address(
            host, self._url.port or (443 if self._url.scheme == "https" else 80), self._allowed
        )
        body = msgspec.json.encode(
            {
                "type": notice.kind,
                "severity": notice.severity,
                "state": notice.state,
                "title": notice.title,
                "text": notice.text,
                "data": notice.body,
            }
        )
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "Host": self._url.netloc.decode(),
            "X-Headrace-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["X-Headrace-Signature"] = signature(self._secret, timestamp, body)
        return self._client.build_request(
            "POST",
            self._url.copy_with(host=address),
            content=body,
            headers=headers,
            extensions={"sni_hostname": host},
        )


async def _head(response: httpx.Response) -> str:
    """The beginning of the answer; the rest of a huge one is left."""
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= ANSWER_LIMIT:
            break
    return read[:OBSERVED_LIMIT].decode(errors="replace")


def _judge(response: httpx.Response, text: str) -> None:
    status = response.status_code
    if status < _REDIRECT:
        return
    if status < _CLIENT:
        message = f"The webhook answered with a redirect ({status}), which is refused; configure the final address."
        raise PermanentError(message)
    message = f"The webhook answered {status}: {text}"
    if status == _TOO_MANY:
        raise BusyError(message, retry_after(response.headers.get("retry-after")))
    if status >= _SERVER or status in _PASSING:
        raise TransientError(message)
    raise PermanentError(message)


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for."""
    try:
        return max(0.0, float(value or ""))
    except ValueError:
        return DEFAULT_RETRY_SECONDS
