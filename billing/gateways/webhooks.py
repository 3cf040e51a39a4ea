"""Sending to an address that somebody else named: to public addresses only, signed, briefly, and once.

The name is resolved once, every address that it has is checked, and the connection goes to the checked address: what
the name leads to a moment later does not matter. No redirect is followed, no proxy of the environment is used, and
nothing of the answer is read but its first bytes.
"""

import base64
import http.client
import secrets
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Timer
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from standardwebhooks import Webhook

from accounts.addresses import Address, among, networks

CONNECT_SECONDS = 5.0
SECONDS_MAX = 15.0
"""For all of it, however slowly the other side talks."""
ANSWER_BYTES_MAX = 2048
SECRET_BYTES = 32
URL_LENGTH_MAX = 500
USER_AGENT = "Ante-Webhooks/1"
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER = (
    IPv6Network("::/96"),  # IPv4 in IPv6 as it was once written, among it ::1.
    IPv6Network("64:ff9b:1::/48"),  # NAT64 within one's own network.
    IPv6Network("2001::/32"),  # Teredo.
    IPv6Network("2002::/16"),  # 6to4.
    IPv6Network("fec0::/10"),  # Site-local.
)
_ISATAP = (0x00005EFE, 0x02005EFE)


class Refused(Exception):
    """The address may not be sent to. The text says why, in words for whoever named it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt. ``status`` is None where no answer came; ``said`` is its beginning, or what failed."""

    status: int | None
    said: str
    seconds: float

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def new_secret() -> str:
    """A signing secret as Standard Webhooks writes it: 32 random bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def check(url: str) -> SplitResult:
    """The parts of an address that may be named. Raises ``Refused``. Names are not looked up here."""
    if len(url) > URL_LENGTH_MAX or any(ord(character) <= 32 or ord(character) >= 127 for character in url):
        raise Refused(f"At most {URL_LENGTH_MAX} characters, without spaces; names in other scripts as xn--….")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise Refused("This is no address.") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.WEBHOOK_ALLOWED_NETWORKS):
        raise Refused("It must begin with https://.")
    if not host or port == 0 or "\\" in url or "%" in parts.netloc:
        raise Refused("This is no address.")
    if "@" in parts.netloc:
        raise Refused("It must not have a name or a password in it.")
    if parts.fragment:
        raise Refused("It must not have a part after #.")
    literal = _literal(host)
    if literal is not None and not _may_be_sent_to(literal, plain=parts.scheme == "http"):
        raise Refused("It is not a public address.")
    return parts


def send(url: str, *, body: bytes, message: str, secrets: Sequence[str], now: datetime) -> Answer:
    """POST the body, signed with each of the secrets. Never raises for what the other side does."""
    started = time.monotonic()
    try:
        parts = check(url)
        address = _resolve(parts)
        connection = _connect(parts, address)
    except Refused as refusal:
        return Answer(None, str(refusal), time.monotonic() - started)
    except (OSError, ssl.SSLError) as error:
        return Answer(None, _said(error), time.monotonic() - started)
    # A time-out of the socket's is for each read; the other side may answer with a byte at a time.
    hang_up = Timer(max(0.1, SECONDS_MAX - (time.monotonic() - started)), _hang_up, [connection])
    hang_up.start()
    try:
        headers = _headers(parts, body=body, message=message, secrets=secrets, now=now)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=body, headers=headers)
        response = connection.getresponse()
        said = response.read(ANSWER_BYTES_MAX).decode("utf-8", "replace").replace("\x00", "")
        return Answer(response.status, said, time.monotonic() - started)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, _said(error), time.monotonic() - started)
    finally:
        hang_up.cancel()
        connection.close()


def signatures(message: str, now: datetime, body: bytes, secrets: Sequence[str]) -> str:
    """The header ``webhook-signature``: one signature for each secret."""
    return " ".join(Webhook(secret).sign(message, now, body.decode()) for secret in secrets)


def _headers(parts: SplitResult, *, body: bytes, message: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    return {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures(message, now, body, secrets),
    }


def _resolve(parts: SplitResult) -> str:
    """The one address to connect to. All that the name has must be allowed, or none is."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        address = _literal(text)
        if address is None or not _may_be_sent_to(address, plain=parts.scheme == "http"):
            raise Refused(f"{host} does not lead to a public address.")
    if not found:
        raise Refused(f"{host} leads nowhere.")
    return found[0]


def _connect(parts: SplitResult, address: str) -> http.client.HTTPConnection:
    """A connection to that address, which must show a certificate for the name."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)
    plain = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
    try:
        if parts.scheme == "https":
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    plain.settimeout(SECONDS_MAX)
    connection.sock = plain
    return connection


def _hang_up(connection: http.client.HTTPConnection) -> None:
    try:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is closed already.


def _may_be_sent_to(address: Address, *, plain: bool) -> bool:
    """Whether it is public, or in a network that the operator allows; without TLS only the latter."""
    if among(address, networks(tuple(settings.WEBHOOK_ALLOWED_NETWORKS))):
        return True
    return not plain and is_public(address)


def is_public(address: Address) -> bool:
    """Whether packets to the address leave for the internet, whatever is written inside of it."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _NEVER) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _literal(text: str) -> Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
