"""Which addresses may be called: no private, loopback, link-local or metadata address, unless its host is allowed by name.

The address is checked after resolution and the very address that was checked is the one that is connected to, so a name
that resolves differently the second time (rebinding), a decimal or an IPv6-mapped address gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence
from typing import Any

from shared.errors import PermanentError, TransientError


async def checked_address(host: str, port: int, allowed: Collection[str]) -> str:
    """An address of ``host`` that may be called.

    Raises `PermanentError` where one of its addresses is not public, `TransientError` where the name does not resolve.
    """
    return await asyncio.to_thread(resolve, host, port, allowed)


def resolve(host: str, port: int, allowed: Collection[str]) -> str:
    """`checked_address` for a thread: blocks on the resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"The name {host} cannot be resolved: {error}."
        raise TransientError(message) from error
    return _approved(host, found, allowed)


def _approved(host: str, found: Sequence[Any], allowed: Collection[str]) -> str:
    addresses = [str(item[4][0]) for item in found]
    if host not in allowed:
        for address in addresses:
            if not public(address):
                message = (
                    f"{host} is the address {address}, which is not public; allow it by name in notifier.allowed_hosts."
                )
                raise PermanentError(message)
    return addresses[0]


def public(address: str) -> bool:
    """Whether ``address`` is one of the open internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast
