"""Secrets at rest: AES-256-GCM under a ring of keys that live outside the database.

A sealed text is ``v1:<key id>:<base64url of nonce and ciphertext>``. It is bound to what it is for: one that is copied
into another column does not open there. The first key of the ring seals; all of them open.
"""

import base64
import binascii
import hashlib
import re
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NONCE_BYTES = 12
KEY_BYTES = 32
_ID = re.compile(r"[a-z0-9_-]{1,24}\Z")
_SEALED = re.compile(r"v1:([a-z0-9_-]{1,24}):([A-Za-z0-9_-]+={0,2})\Z")


class CannotOpen(Exception):
    """No key of the ring opens this text, or it is not what it says it is."""


def seal(text: str, *, purpose: str) -> str:
    """``text``, readable only with the ring's keys and only for the same ``purpose``."""
    key_id, key = next(iter(_ring().items()))
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + AESGCM(key).encrypt(nonce, text.encode(), purpose.encode())
    return f"v1:{key_id}:{base64.urlsafe_b64encode(sealed).decode()}"


def unseal(sealed: str, *, purpose: str) -> str:
    """What was sealed. Raises ``CannotOpen``."""
    key_id, body = _parts(sealed)
    key = _ring().get(key_id)
    if key is None:
        raise CannotOpen(f"The key {key_id} is not in the ring: set it in ENCRYPTION_KEYS or SECRET_KEY_FALLBACKS.")
    try:
        raw = base64.urlsafe_b64decode(body)
        if base64.urlsafe_b64encode(raw).decode() != body:
            raise ValueError
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise CannotOpen("The sealed text was changed, or belongs elsewhere.") from None


def key_id_of(sealed: str) -> str:
    """Which key sealed this."""
    return _parts(sealed)[0]


def sealing_key_id() -> str:
    """Which key seals from now on."""
    return next(iter(_ring()))


def _parts(sealed: str) -> tuple[str, str]:
    found = _SEALED.match(sealed)
    if found is None:
        raise CannotOpen("This is no sealed text.")
    return found[1], found[2]


def _ring() -> dict[str, bytes]:
    return _build(tuple(settings.ENCRYPTION_KEYS), (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _build(given: tuple[str, ...], secrets_: tuple[str, ...]) -> dict[str, bytes]:
    """Keys by id: those of ENCRYPTION_KEYS in their order, then those that follow from SECRET_KEY and its fallbacks."""
    ring: dict[str, bytes] = {}
    for entry in given:
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except binascii.Error:
            key = b""
        if not _ID.match(key_id) or len(key) != KEY_BYTES or key_id in ring:
            raise ImproperlyConfigured("ENCRYPTION_KEYS: a list of id:key, each key 32 bytes in base64, each id once.")
        ring[key_id] = key
    for secret in secrets_:
        key = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"ante secrets at rest").derive(
            secret.encode()
        )
        ring.setdefault(f"derived-{hashlib.sha256(key).hexdigest()[:8]}", key)
    return ring
