"""Who vouches for a candidate: the one question that registry and inference both ask before a model file is touched. Pure."""

from typing import Final

from schemas.definitions.key import KeySpec, Role
from schemas.events.training import Candidate
from schemas.signatures import Keyring, SignatureError, Signed

SIGNER: Final = "signer"  # a good signature of somebody who may not offer this


def vouched(keyring: Keyring, candidate: Candidate, signed: Signed) -> KeySpec:
    """The key that vouches for ``candidate``, which arrived as ``signed``.

    Raises `SignatureError`: what `Keyring.verify` raises, and ``signer`` where the key may not offer it.
    """
    key = keyring.verify(signed)
    person = candidate.lineage.imported_by
    if person is not None and person != key.principal:  # else nobody could tell who must not approve it
        raise SignatureError(SIGNER, f"the candidate says that {person} imported it, but {key.principal} signed it")
    role = Role.TRAINER if person is None else Role.OPERATOR
    if not key.may(role):
        message = (
            f"{key.principal} may not offer it: that takes the role {role.value}, and the key {key.key_id} has "
            f"{', '.join(key.roles)}"
        )
        raise SignatureError(SIGNER, message)
    return key
