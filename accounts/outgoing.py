"""Asking an address that somebody else named: a public one only, briefly, and once.

The name is resolved once, every address that it has is checked, and the connection goes to the checked address: what
the name leads to a moment later does not matter. No redirect is followed, no proxy of the environment is used, and
no more of the answer is read than is wanted.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Thread, Timer
from typing import Any
from urllib.parse import SplitResult, urlsplit

from accounts.addresses import Address, among, networks

CONNECT_SECONDS = 5.0
URL_LENGTH_MAX = 500
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER = (
    IPv6Network("::/96"),  # IPv4 in IPv6 as it was once written, among it ::1.
    IPv6Network("::ffff:0:0:0/96"),  # IPv4 as translators within a network write it (SIIT).
    IPv6Network("64:ff9b:1::/48"),  # NAT64 within one's own network.
    IPv6Network("2001::/32"),  # Teredo.
    IPv6Network("2002::/16"),  # 6to4.
    IPv6Network("3fff::/20"),  # For documentation.
    IPv6Network("fec0::/10"),  # Site-local.
)
_ISATAP = (0x00005EFE, 0x02005EFE)


class Refused(Exception):
    """The address may not be asked. The text says why, in words for whoever named it."""


class Failed(Exception):
    """No answer came. The text says what failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, and the first bytes of the body."""

    status: int
    body: bytes


def check(url: str, *, allowed: Sequence[str] = ()) -> SplitResult:
    """The parts of an address that may be named. Raises ``Refused``. Names are not looked up here.

    ``allowed`` are CIDR blocks beyond the public internet, in which there need be no TLS.
    """
    if len(url) > URL_LENGTH_MAX or any(ord(character) <= 32 or ord(character) >= 127 for character in url):
        raise Refused(f"At most {URL_LENGTH_MAX} characters, without spaces; names in other scripts as xn--….")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise Refused("This is no address.") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and allowed):
        raise Refused("It must begin with https://.")
    if not host or port == 0 or "\\" in url or "%" in parts.netloc:
        raise Refused("This is no address.")
    if "@" in parts.netloc:
        raise Refused("It must not have a name or a password in it.")
    if parts.fragment:
        raise Refused("It must not have a part after #.")
    literal = _literal(host)
    if literal is not None and not _may_be_asked(literal, allowed, plain=parts.scheme == "http"):
        raise Refused("It is not a public address.")
    return parts


def ask(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str],
    body: bytes | None = None,
    allowed: Sequence[str] = (),
    seconds: float,
    bytes_max: int,
) -> Answer:
    """One request, over within ``seconds`` however slowly the other side talks. Raises ``Refused`` and ``Failed``."""
    end = time.monotonic() + seconds
    parts = check(url, allowed=allowed)
    try:
        connection = _connect(parts, _resolve(parts, allowed, end), end)
        # A time-out of the socket's is for each read; the other side may answer with a byte at a time.
        hang_up = Timer(max(0.0, end - time.monotonic()), _hang_up, [connection.sock])
    except (OSError, ValueError) as error:  # ValueError: a name that no resolver takes.
        raise Failed(_said(error)) from None
    hang_up.start()
    try:
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body=body, headers={"Host": parts.netloc, **headers})
        response = connection.getresponse()
        return Answer(response.status, response.read(bytes_max))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(_said(error)) from None
    finally:
        hang_up.cancel()
        connection.close()


def _resolve(parts: SplitResult, allowed: Sequence[str], end: float) -> str:
    """The one address to connect to. All that the name has must be allowed, or none is."""
    host = parts.hostname or ""
    found = [str(info[4][0]) for info in _look_up(host, _port(parts), end)]
    for text in found:
        address = _literal(text)
        if address is None or not _may_be_asked(address, allowed, plain=parts.scheme == "http"):
            raise Refused(f"{host} does not lead to a public address.")
    if not found:
        raise Refused(f"{host} leads nowhere.")
    return found[0]


def _look_up(host: str, port: int, end: float) -> list[Any]:
    """What the resolver says by then. It takes no time-out: in a thread of its own, which may outlast the wait."""
    found: Future[list[Any]] = Future()

    def ask_the_resolver() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            found.set_exception(error)

    Thread(target=ask_the_resolver, daemon=True).start()
    return found.result(_left(end))


def _connect(parts: SplitResult, address: str, end: float) -> http.client.HTTPConnection:
    """A connection to that address. With TLS the handshake is still to come, in which it must show a certificate."""
    host = parts.hostname or ""
    plain = socket.create_connection((address, _port(parts)), timeout=min(CONNECT_SECONDS, _left(end)))
    connection = http.client.HTTPConnection(host, _port(parts))
    connection.sock = plain
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        connection.sock.settimeout(_left(end))
    except BaseException:
        connection.close()
        raise
    return connection


def _left(end: float) -> float:
    """The seconds until then. Raises ``TimeoutError`` where there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):  # It may be closed already.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)  # Not TLS's own, which would forget the key in mid-read.


def _may_be_asked(address: Address, allowed: Sequence[str], *, plain: bool) -> bool:
    """Whether it is public, or in a network that is allowed; without TLS only the latter."""
    if among(address, networks(tuple(allowed))):
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
