"""OpenID Connect, as far as it is needed: the code flow with PKCE, and an ID token that is believed if it is right.

The provider may be anybody's. So its addresses are asked as ``accounts.outgoing`` asks them, and of what it says only
the subject counts, and only under its own issuer. Nothing here may run in a transaction: it waits for the provider.
"""

import base64
import hashlib
import json
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import jwt
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext

from accounts import outgoing

KEY_KINDS: Mapping[str, str] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""The signatures that are believed, and of which kind the key must be. Never ``none``, never a shared secret."""
LEEWAY_SECONDS = 60
SECONDS_MAX = 8.0
"""For the requests of one step together: one to send somebody there, up to three when they are back."""
AT_ONCE_MAX, AT_ONE_MAX = 4, 2
"""How many threads of a process wait for organizations' providers, and for one client's: who stalls holds few of them.
The operator's own has its places beside them."""
REST_SECONDS = 30
"""For so long a provider that did not answer is not asked again."""
BYTES_MAX = 256 * 1024
RESTS_MAX = 1000
"""So many resting providers a process remembers: those that began to rest last."""
SUBJECT_MAX = 255
SHOWN_MAX = 200
USER_AGENT = "Ante-Sign-In/1"

_lock = threading.Lock()
_waits: Counter[tuple[bool, str]] = Counter()
_rests: dict[tuple[str, str], float] = {}
logger = logging.getLogger(__name__)


class Refused(Exception):
    """Why nobody is signed in, or the provider is not taken, in words for the person."""


class Unreachable(Refused):
    """It did not answer, or not what could be read."""


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to a provider. ``allowed`` are networks beyond the public internet in which it may be.

    ``is_operators``: the provider is the operator's own, for which no stranger's takes the place.
    """

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    allowed: tuple[str, ...] = ()
    is_operators: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    takes_basic: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of one attempt, kept in the session of the browser that makes it."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Known:
    """Whom the provider knows: by ``subject`` for ever; ``shown`` is what it calls them, to be read, never believed."""

    subject: str
    shown: str


def begin() -> Attempt:
    """New secrets."""
    return Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


def address(client: Client, attempt: Attempt) -> str:
    """Where to send the person. Raises ``Refused``."""
    with _waiting(client) as end:
        found = _discover(client, end)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "scope": "openid email profile",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    separator = "&" if "?" in found.authorization_endpoint else "?"
    return f"{found.authorization_endpoint}{separator}{urlencode(asked)}"


def discover(client: Client) -> Metadata:
    """What the provider says of itself, where it calls itself as it was named. Raises ``Refused``."""
    with _waiting(client, anew=True) as end:
        return _discover(client, end)


def _discover(client: Client, end: float) -> Metadata:
    said = _json(client, f"{client.issuer.rstrip('/')}/.well-known/openid-configuration", end)
    if said.get("issuer") != client.issuer:
        raise Refused(gettext("The provider calls itself {issuer}.").format(issuer=_printable(said.get("issuer"), 300)))
    found = {name: said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    for name, url in found.items():
        try:
            outgoing.check(str(url), allowed=client.allowed)
        except outgoing.Refused as refusal:
            logger.warning("%s of %s: %s", name, client.issuer, refusal)
            raise Refused(gettext("The provider names an address that is not public.")) from None
    methods = said.get("token_endpoint_auth_methods_supported")
    takes_basic = not isinstance(methods, list) or "client_secret_basic" in methods
    return Metadata(**{name: str(url) for name, url in found.items()}, takes_basic=takes_basic)


def redeem(client: Client, attempt: Attempt, code: str) -> Known:
    """Whom the provider has signed in, by the code that the browser brought back. Raises ``Refused``."""
    with _waiting(client) as end:
        return _redeem(client, attempt, code, end)


def _redeem(client: Client, attempt: Attempt, code: str, end: float) -> Known:
    found = _discover(client, end)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if found.takes_basic:
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
    answer = _json(client, found.token_endpoint, end, method="POST", headers=headers, body=urlencode(form).encode())
    keys = _json(client, found.jwks_uri, end).get("keys")
    try:
        claims = _claims(client, str(answer.get("id_token")), keys if isinstance(keys, list) else [])
        if not constant_time_compare(str(claims["nonce"]), attempt.nonce):
            raise jwt.InvalidTokenError("It is of another attempt.")
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        logger.warning("An ID token of %s is not believed: %s", client.issuer, error)
        raise Refused(gettext("What the provider answered is not right. Try again.")) from None
    shown = claims.get("email") or claims.get("name") or claims["sub"]
    return Known(claims["sub"], _printable(shown, SHOWN_MAX))


def _claims(client: Client, token: str, keys: list[Any]) -> dict[str, Any]:
    """What a token says, once its signature, issuer, audience and time are found right. Raises ``PyJWTError``."""
    header = jwt.get_unverified_header(token)
    algorithm = str(header.get("alg"))
    if algorithm not in KEY_KINDS:
        raise jwt.InvalidAlgorithmError(f"Signed with {algorithm[:20]}.")
    claims: dict[str, Any] = jwt.decode(
        token,
        _key(keys, header.get("kid"), algorithm),
        algorithms=[algorithm],
        audience=client.client_id,
        issuer=client.issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": ["iss", "aud", "sub", "exp", "iat", "nonce"]},
    )
    for_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if ("azp" in claims or for_others) and claims.get("azp") != client.client_id:
        raise jwt.InvalidAudienceError("It was made for somebody else.")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MAX or not subject.isprintable():
        raise jwt.InvalidTokenError("Its subject is none.")
    return claims


def _key(keys: list[Any], key_id: object, algorithm: str) -> jwt.PyJWK:
    """The provider's key that the token names; the only one of its kind where it names none."""
    fitting = [
        key
        for key in keys
        if isinstance(key, dict) and key.get("kty") == KEY_KINDS[algorithm] and key.get("use", "sig") == "sig"
    ]
    named = [key for key in fitting if key_id is not None and key.get("kid") == key_id]
    if not named and (key_id is not None or len(fitting) != 1):
        raise jwt.InvalidKeyError("No key fits.")
    return jwt.PyJWK((named or fitting)[0], algorithm=algorithm)


def _printable(said: object, most: int) -> str:
    """What a provider said, to be read: without what no page and no database takes."""
    return "".join(letter for letter in str(said) if letter.isprintable())[:most]


@contextmanager
def _waiting(client: Client, *, anew: bool = False) -> Iterator[float]:
    """A place among the few that wait for providers, and when the wait is over. Raises ``Refused`` if all are taken.

    ``anew``: although it did not answer just now.
    """
    place, provider = (client.is_operators, client.redirect_uri), (client.redirect_uri, client.issuer)
    with _lock:
        if not anew and _rests.get(provider, 0.0) > time.monotonic():
            raise Unreachable(gettext("The provider could not be reached at its public address."))
        at_once = sum(waiting for (is_operators, _), waiting in _waits.items() if not is_operators)
        if _waits[place] >= AT_ONE_MAX or (not client.is_operators and at_once >= AT_ONCE_MAX):
            raise Refused(gettext("Many people sign in just now. Try again in a moment."))
        _waits[place] += 1
    try:
        yield time.monotonic() + SECONDS_MAX
        with _lock:
            _rests.pop(provider, None)
    except Unreachable:
        with _lock:
            _rest(provider)
        raise
    finally:
        with _lock:
            _waits[place] -= 1
            if not _waits[place]:
                del _waits[place]


def _rest(provider: tuple[str, str]) -> None:
    """Leave it alone for a while. Kept in the order in which they began to rest: the first have rested longest."""
    now = time.monotonic()
    _rests.pop(provider, None)
    _rests[provider] = now + REST_SECONDS
    for oldest in list(_rests):
        if _rests[oldest] > now and len(_rests) <= RESTS_MAX:
            return
        del _rests[oldest]


def _json(
    client: Client,
    url: str,
    end: float,
    *,
    method: str = "GET",
    headers: Mapping[str, str] = MappingProxyType({}),
    body: bytes | None = None,
) -> dict[str, Any]:
    try:
        answer = outgoing.ask(
            url,
            method=method,
            headers={"Accept": "application/json", "User-Agent": USER_AGENT, **headers},
            body=body,
            allowed=client.allowed,
            seconds=end - time.monotonic(),
            bytes_max=BYTES_MAX,
        )
        said = json.loads(answer.body) if answer.status == 200 else None
    except (outgoing.Refused, outgoing.Failed, ValueError, RecursionError) as error:
        logger.warning("%s could not be asked: %s", url, error)
        raise Unreachable(gettext("The provider could not be reached at its public address.")) from None
    if not isinstance(said, dict):
        logger.warning("%s answered %d", url, answer.status)
        raise Refused(gettext("The provider did not take what was asked of it."))
    return said
