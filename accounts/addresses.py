"""Where a request comes from. A header is believed only as far as proxies that are trusted wrote it.

``X-Forwarded-For`` is read from the right: each proxy adds, at its end, whom it was called by. The first address that
is not a trusted proxy's is the caller. With no trusted proxies, the default, that is the socket's own address.
"""

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_log = logging.getLogger(__name__)

HOPS_MAX = 20
_WITH_PORT = re.compile(r"(?:(\d+\.\d+\.\d+\.\d+)|\[([0-9A-Fa-f:.]+)\]):\d{1,5}\Z")


def parse(text: str) -> Address | None:
    """An address as it is written in a header or by a socket; None for anything else.

    An IPv4 address written as an IPv6 one is the IPv4 address. Zones (``fe80::1%eth0``) mean nothing elsewhere: None.
    """
    with_port = _WITH_PORT.match(text)
    if with_port:
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def caller(peer: str, forwarded: str) -> Address | None:
    """Who calls, from the socket's address and the ``X-Forwarded-For`` line; None where that cannot be told."""
    trusted = networks(tuple(settings.TRUSTED_PROXIES))
    address = parse(peer)
    if address is None or not among(address, trusted):
        return address
    hops = [hop.strip() for hop in forwarded.split(",")] if forwarded.strip() else []
    for hop in reversed(hops[-HOPS_MAX:]):
        address = parse(hop)
        if address is None or not among(address, trusted):
            return address
    return address


def is_proxy(peer: str) -> bool:
    """Whether the socket's address is a trusted proxy's, so that how it was called itself is believed.

    With no trusted proxies set, a proxy is whoever does not call from the internet: one on this machine (behind a Unix
    socket too, which has no address) or in its own network.
    """
    address = parse(peer)
    if trusted := networks(tuple(settings.TRUSTED_PROXIES)):
        return address is not None and among(address, trusted)
    return not peer if address is None else not address.is_global


def of(request: HttpRequest) -> Address | None:
    """Who sent this request."""
    return caller(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def text_of(request: HttpRequest) -> str | None:
    """The same for the trail: as text, or None."""
    address = of(request)
    return None if address is None else str(address)


def read_networks(text: str, *, limit: int = 100) -> list[str]:
    """CIDR blocks and addresses, one a line or with commas, in one spelling. Raises ``ValueError`` for a bad one.

    Bits beside the mask (``192.0.2.1/24``) are refused: it is not clear then what was meant.
    """
    found: list[str] = []
    for word in text.replace(",", "\n").split("\n"):
        if not word.strip():
            continue
        try:
            network = ip_network(word.strip())
            if "%" in word:  # A zone: no caller has one.
                raise ValueError
        except ValueError:
            raise ValueError(f"{word.strip()[:64]} is no address and no CIDR block.") from None
        block = str(network)
        if block not in found:
            found.append(block)
    if len(found) > limit:
        raise ValueError(f"At most {limit} blocks.")
    return found


def allows(blocks: Sequence[str], address: Address | None) -> bool:
    """Whether a list of blocks lets this address in. An empty list lets everybody in; unknown addresses fit none.

    A block that cannot be read lets nobody in, and is logged as an error.
    """
    return not blocks or (address is not None and among(address, _readable(tuple(blocks))))


def among(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether one of the networks contains the address."""
    return any(address.version == network.version and address in network for network in allowed)


@lru_cache(maxsize=1024)
def networks(lines: tuple[str, ...]) -> tuple[Network, ...]:
    """CIDR blocks from settings. Raises ``ImproperlyConfigured``."""
    try:
        return tuple(ip_network(line) for line in lines)
    except ValueError as error:
        raise ImproperlyConfigured(f"Not an address or a CIDR block: {error}") from None


@lru_cache(maxsize=1024)
def _readable(lines: tuple[str, ...]) -> tuple[Network, ...]:
    found: list[Network] = []
    for line in lines:
        try:
            found.append(ip_network(line))
        except ValueError:
            _log.error("An allowed address cannot be read, so it lets nobody in: %.64r", line)
    return tuple(found)
