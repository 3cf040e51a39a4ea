"""Where usage came from, as far as it is kept for disputes: the request's id, and a keyed hash of who called.

Events are never changed, so that nothing in them may say who somebody is. The key of the hash is the customer's own
(``Customer.origin_key``) and goes when the customer is erased: from then on the hashes fit no address.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

_BYTES = 8
"""Enough to tell callers apart, and to say of an address whether it was this one."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that reports usage. Held in memory only."""

    request_id: str = ""
    """As we named it; empty where the caller did, for callers write names of people there."""
    address: str = ""
    """The caller's; empty where it cannot be told."""

    def kept(self, key: UUID | None) -> str:
        """``<request id> <hash>``, either of which may be missing; empty where both are."""
        hashed = address_hash(self.address, key) if self.address and key is not None else ""
        return f"{self.request_id} {hashed}" if self.request_id or hashed else ""


NOWHERE = Origin()


def address_hash(address: str, key: UUID) -> str:
    """16 hexadecimal digits of the address, as ``accounts.addresses`` writes it, with a customer's key."""
    return hashlib.blake2b(address.encode(), key=key.bytes, digest_size=_BYTES).hexdigest()
