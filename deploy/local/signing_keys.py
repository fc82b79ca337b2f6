"""The keys of a local headrace: made once and kept with its data, so that everything is signed without anybody setting that up."""

from pathlib import Path
from typing import Final

from deploy.local.errors import PlatformError
from schemas.definitions import KeySpec, Role
from schemas.signatures import public_key
from shared.signing import create_key, key_file, me, private_key

TRAINING: Final = "training"


def ensure(data_dir: Path) -> tuple[KeySpec, ...]:
    """The trust roots: whoever runs this is admin, training may offer candidates. Makes what is missing.

    Raises `PlatformError` where a key cannot be written, `shared.errors.ConfigurationError` where one cannot be read.
    """
    person = _root(of_people(data_dir), me(), Role.ADMIN)
    return person, _root(of_service(data_dir, TRAINING), TRAINING, Role.TRAINER)


def of_people(data_dir: Path) -> Path:
    """The keys that commands are signed with, one a person."""
    return data_dir / "keys" / "people"


def of_service(data_dir: Path, service: str) -> Path:
    """The key of a service, out of reach of the others' settings."""
    return data_dir / "keys" / service


def _root(directory: Path, principal: str, role: Role) -> KeySpec:
    file = key_file(directory, principal)
    try:
        public = public_key(private_key(file)) if file.exists() else create_key(directory, principal)
    except OSError as error:
        message = (
            f"The signing key {file} cannot be written ({error.strerror}): correct that, or choose another directory."
        )
        raise PlatformError(message) from error
    return KeySpec(principal=principal, public_key=public, roles=(role,))
