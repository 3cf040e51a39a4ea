"""Tokens that are not believed."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from accounts.models import IdentityProvider, User
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, key
from tests.portal.single_sign_on.steps import NOT_RIGHT, come, connected, page


def signed(claims: dict[str, Any], by: str, kid: str | None = "signing") -> str:
    return jwt.encode(claims, key(by), "RS256", {"kid": kid} if kid else {})


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", {"kid": "signing"})


def with_the_public_key_as_secret(claims: dict[str, Any], secret: bytes) -> str:
    """As PyJWT would refuse to make it."""
    import hashlib
    import hmac

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "signing"}).encode())
    body = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{body}.{part(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


FALSE_CLAIMS: dict[str, dict[str, Any]] = {
    "another attempt's nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "for somebody else": {"aud": "another-client"},
    "for two, made for the other": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "for two, made for nobody": {"aud": [CLIENT_ID, "another"]},
    "made for another": {"azp": "another"},
    "no audience": {"aud": None},
    "of another issuer": {"iss": "https://accounts.example.com"},
    "of no issuer": {"iss": None},
    "expired": {"exp": 1_700_000_000},
    "for ever": {"exp": None},
    "of no time": {"iat": None},
    "of tomorrow": {"iat": int(time.time()) + 86_400},
    "about nobody": {"sub": None},
    "about the empty one": {"sub": ""},
    "about a number": {"sub": 7},
    "about too long a name": {"sub": "x" * 256},
    "about what no database takes": {"sub": "\ud800"},
    "about an end of text": {"sub": "u\x00"},
    "expiring when no clock gets": {"exp": float("inf")},
}


@pytest.mark.parametrize("claims", FALSE_CLAIMS.values(), ids=FALSE_CLAIMS)
def test_a_token_that_says_something_else_is_not_believed(
    idp: Provider, row: IdentityProvider, viewer: User, claims: dict[str, Any]
) -> None:
    connected(row, viewer)
    if claims.get("sub") == "":
        connected(row, viewer, "")
    idp.claims = claims

    client, response = come(idp, row)

    assert response.status_code == 400
    assert NOT_RIGHT in page(response)
    assert "_auth_user_id" not in client.session


def test_a_token_that_is_not_signed_by_the_provider_is_not_believed(
    idp: Provider, row: IdentityProvider, viewer: User
) -> None:
    connected(row, viewer)
    pem = idp.public_pem()
    forgeries = [
        unsigned,
        lambda claims: with_the_public_key_as_secret(claims, pem),
        lambda claims: with_the_public_key_as_secret(claims, CLIENT_SECRET.encode()),
        lambda claims: signed(claims, "attackers"),
        lambda claims: signed(claims, "other"),
        lambda claims: signed(claims, "signing", "unknown key"),
        lambda claims: signed(claims, "signing", None),
        lambda claims: jwt.encode(claims, key("signing"), "RS512", {"kid": "signing"}),
        lambda claims: signed(claims, "signing")[:-8] + "AAAAAAAA",
        lambda claims: signed(claims, "attackers").replace(".", "..", 1),
        lambda claims: "",
        lambda claims: {"not": "a token"},
    ]
    for number, forge in enumerate(forgeries):
        idp.forge = forge
        client, response = come(idp, row)
        assert response.status_code == 400, number
        assert NOT_RIGHT in page(response), number
        assert "_auth_user_id" not in client.session

    idp.forge = lambda claims: jwt.encode(claims, key("signing"), "PS256", {"kid": "signing"})
    assert come(idp, row)[1]["Location"] == "/", "the control: another signature that is believed"
