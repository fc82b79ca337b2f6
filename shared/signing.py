"""What this process signs, with the keys that the setting ``signing`` names, and how a record that arrived is verified."""

import getpass
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.envelope import Envelope, decode_headers
from schemas.signatures import Signed, public_key, signature
from shared.errors import ConfigurationError
from shared.records import Outgoing, Record, topic_name
from shared.settings import PlatformSettings

SUFFIX: Final = ".pem"
COMMAND_LIFETIME: Final = timedelta(minutes=5)  # from being given to standing on the topic


def me() -> str:
    """The principal of whoever runs this process: the login name, in the characters that a principal may have."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        name = f"user-{os.getuid()}"
    return re.sub(r"[^A-Za-z0-9._@-]", "-", name).lstrip("._@-")[:99] or "user"


def key_file(directory: Path, principal: str) -> Path:
    """Where the private key of ``principal`` lies."""
    return directory / f"{principal}{SUFFIX}"


def create_key(directory: Path, principal: str) -> str:
    """Make a private key for ``principal``, readable by its owner alone, and return its public key. Raises FileExistsError, OSError."""
    private = Ed25519PrivateKey.generate()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = key_file(directory, principal)
    with open(file, "xb", opener=_owner_only) as opened:
        opened.write(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return public_key(private)


def private_key(file: Path) -> Ed25519PrivateKey:
    """The key in a PEM file. Raises `ConfigurationError` with a sentence where it is none."""
    try:
        loaded = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        message = f"The signing key {file} cannot be read: {error.strerror}."
        raise ConfigurationError(message) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, Ed25519PrivateKey):
        message = f"{file} holds no unencrypted Ed25519 private key in PEM; `headrace keys create` makes one."
        raise ConfigurationError(message)
    return loaded


def signed(settings: PlatformSettings, principal: str, outgoing: Outgoing, expires: datetime | None = None) -> Outgoing:
    """``outgoing`` with the signature of ``principal``; as it is where no keys are configured.

    Raises `ConfigurationError` where the key of ``principal`` is missing or unusable.
    """
    directory = settings.signing.keys
    if directory is None:
        return outgoing
    file = key_file(directory, principal)
    if not file.is_file():
        message = (
            f"There is no signing key of {principal} ({file}): make one with `headrace keys create {principal}`, "
            "or act as somebody whose key is there."
        )
        raise ConfigurationError(message)
    private = private_key(file)
    envelope = decode_headers(outgoing.headers)
    extensions = signature(
        private, topic_name(settings, outgoing.topic), outgoing.key, outgoing.value or b"", envelope, expires
    )
    headers = [(f"ce_{name}", value.encode()) for name, value in sorted(extensions.items())]
    return msgspec.structs.replace(outgoing, headers=[*outgoing.headers, *headers])


def arrived(topic: str, record: Record, envelope: Envelope) -> Signed:
    """``record`` as its signature covers it; ``topic`` is the physical name of where its type belongs."""
    return Signed(topic, record.key, record.value, envelope, datetime.fromtimestamp(record.timestamp / 1000, UTC))


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
