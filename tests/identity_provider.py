"""An identity provider as a company has one: discovery, keys, tokens, over real HTTP and with real signatures.

It signs in whom ``subject`` says, at once, and lies as it is told to.
"""

import base64
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "ante", "s3cret with spaces & signs"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """A key pair, made once."""
    return rsa.generate_private_key(65537, 2048)


class Provider:
    """``claims`` are laid over what an ID token says, ``metadata`` over what discovery says; None takes a line away."""

    def __init__(self) -> None:
        self.subject, self.email = "u-1", "owner@acme.test"
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.forge: Any = None
        """Given the claims, makes the token in the usual one's place."""
        self.token_status = 200
        self.codes: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count()
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                if self.path.startswith("/authorize?"):
                    return self._send_back(provider.authorize(f"{provider.issuer}{self.path}"))
                if self.path.endswith("/.well-known/openid-configuration"):
                    return self._answer(200, _laid_over(provider._configuration(), provider.metadata))
                return self._answer(200, {"keys": [provider.public("signing"), provider.public("other")]})

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*provider._redeem(form, self.headers.get("Authorization", "")))

            def _send_back(self, brought: dict[str, str]) -> None:
                self.send_response(302)
                to = parse_qs(urlsplit(self.path).query)["redirect_uri"][0]
                self.send_header("Location", f"{to}?{urlencode(brought)}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _answer(self, status: int, said: dict[str, Any]) -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Not on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def public(self, name: str) -> dict[str, Any]:
        """The public half of a key, as the provider shows it."""
        return {**RSAAlgorithm.to_jwk(key(name).public_key(), as_dict=True), "kid": name, "use": "sig"}

    def public_pem(self) -> bytes:
        """The same as a file."""
        return (
            key("signing")
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def authorize(self, address: str) -> dict[str, str]:
        """What a browser brings back that was sent to this address, and signed in as ``subject``."""
        assert address.startswith(f"{self.issuer}/authorize?")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        code = f"code-{next(self._numbers)}"
        self.codes[code] = {**asked, "subject": self.subject}
        return {"code": code, "state": asked["state"]}

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def _redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if asked is None or challenge.rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if asked["redirect_uri"] != form["redirect_uri"] or asked["code_challenge_method"] != "S256":
            return 400, {"error": "invalid_grant"}
        basic = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if basic != f"{CLIENT_ID}:s3cret%20with%20spaces%20%26%20signs" and form.get("client_secret") != CLIENT_SECRET:
            return 401, {"error": "invalid_client"}
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": asked["subject"],
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            "email": self.email,
            "email_verified": True,
        }
        claims = _laid_over(claims, self.claims)
        make = self.forge or (lambda said: jwt.encode(said, key("signing"), "RS256", {"kid": "signing"}))
        return self.token_status, {"access_token": "x", "token_type": "Bearer", "id_token": make(claims)}


def _laid_over(usual: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (usual | other).items() if value is not None}


@contextmanager
def provider() -> Iterator[Provider]:
    """One that runs."""
    found = Provider()
    try:
        yield found
    finally:
        found.close()
