"""Who calls, behind proxies or not: tricks with headers, against three ways to stand in the net."""

from typing import Any

import pytest

from accounts import addresses
from accounts.models import ApiKey, AuditEvent, Organization
from accounts.services import api_keys
from billing.models import Customer
from tests.builders import Shop

OFFICE, STRANGER = "198.51.100.7", "203.0.113.66"
TOPOLOGIES: dict[str, tuple[list[str], list[str]]] = {
    "no proxy": ([], []),
    "one proxy": (["10.0.0.1"], ["10.0.0.1"]),
    "two proxies": (["10.0.0.0/8", "2001:db8:9::/48"], ["10.0.0.1", "2001:db8:9::1"]),
}
# What somebody at STRANGER may write who wants to pass for OFFICE.
TRICKS: list[dict[str, str]] = [
    {},
    {"x-forwarded-for": OFFICE},
    {"x-forwarded-for": f"{OFFICE}, {OFFICE}"},
    {"x-forwarded-for": f"{OFFICE},"},
    {"x-forwarded-for": f",{OFFICE}"},
    {"x-forwarded-for": f" {OFFICE} "},
    {"x-forwarded-for": f"\t{OFFICE}"},
    {"x-forwarded-for": f"{OFFICE}:443"},
    {"x-forwarded-for": f"[::ffff:{OFFICE}]:443"},
    {"x-forwarded-for": f"::ffff:{OFFICE}"},
    {"x-forwarded-for": "0xC6336407"},
    {"x-forwarded-for": "198.51.100.007"},
    {"x-forwarded-for": "3325256711"},
    {"x-forwarded-for": f"unknown, {OFFICE}"},
    {"x-forwarded-for": f'for="{OFFICE}"'},
    {"x-forwarded-for": f"10.0.0.1, {OFFICE}, 10.0.0.1"},
    {"x-forwarded-for": "10.0.0.1"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-for": ", ".join([OFFICE] * 100)},
    {"x-forwarded-for": "x" * 5000},
    {"x-forwarded-for": f"{OFFICE}%eth0"},
    {"x-real-ip": OFFICE},
    {"forwarded": f"for={OFFICE}"},
    {"x-client-ip": OFFICE, "true-client-ip": OFFICE, "cf-connecting-ip": OFFICE},
    {"x-forwarded": OFFICE, "x-cluster-client-ip": OFFICE, "client-ip": OFFICE, "remote-addr": OFFICE},
]


def arriving(caller: str, headers: dict[str, str], proxies: list[str]) -> tuple[str, dict[str, str]]:
    """The socket's address and the headers as we see them, after each proxy added whom it was called by."""
    line = headers.get("x-forwarded-for", "")
    path = [caller, *proxies]
    for hop in path[:-1]:
        line = f"{line}, {hop}" if line else hop
    seen = dict(headers)
    if line:
        seen["x-forwarded-for"] = line
    return path[-1], seen


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("trick", TRICKS, ids=range(len(TRICKS)))
def test_no_header_passes_a_stranger_off_and_none_locks_out_who_may(
    shop: Shop, client: Any, settings: Any, topology: str, trick: dict[str, str]
) -> None:
    settings.TRUSTED_PROXIES, proxies = TOPOLOGIES[topology]
    acme = shop.customer("acme", plan=None)
    organization = acme.organization
    organization.allowed_networks = ["198.51.100.0/24"]
    organization.save()
    authorization = {"authorization": f"Bearer {shop.key(organization=organization)}"}

    def status(caller: str, headers: dict[str, str]) -> Any:
        peer, seen = arriving(caller, headers, proxies)
        return client.get("/api/v1/customers/acme/wallet", REMOTE_ADDR=peer, headers={**seen, **authorization})

    refused = status(STRANGER, trick)
    assert (refused.status_code, refused.json()["code"]) == (403, "ip_not_allowed")
    assert status(OFFICE, trick).status_code == 200


@pytest.mark.parametrize("peer", ["", "nonsense", "unix:", "@"])
def test_an_address_that_cannot_be_read_is_refused(peer: str) -> None:
    assert addresses.caller(peer, "") is None
    assert not addresses.allows(["0.0.0.0/0", "::/0"], addresses.caller(peer, ""))
    assert addresses.allows([], addresses.caller(peer, ""))


def test_ipv6_and_ipv4_in_its_clothes() -> None:
    blocks = ["2001:db8::/32", "192.0.2.0/24"]
    for inside in ["2001:db8::1", "2001:0DB8:ffff::", "192.0.2.9", "::ffff:192.0.2.9"]:
        assert addresses.allows(blocks, addresses.parse(inside))
    for outside in ["2001:db9::1", "192.0.3.1", "::ffff:192.0.3.1", "::192.0.2.9", "fe80::1%eth0"]:
        assert not addresses.allows(blocks, addresses.parse(outside))


@pytest.mark.parametrize(
    "bad", ["x", "192.0.2.1/24", "192.0.2.0/33", "::/129", "1.2.3", "192.0.2.0 /24", "\x00", "fe80::1%eth0"]
)
def test_a_block_that_makes_no_sense_is_named(bad: str) -> None:
    with pytest.raises(ValueError, match="no address and no CIDR block"):
        addresses.read_networks(f"192.0.2.1\n{bad}")


def test_blocks_are_kept_in_one_spelling() -> None:
    assert addresses.read_networks("192.0.2.1, 2001:DB8::/32\n\n192.0.2.1/32") == ["192.0.2.1/32", "2001:db8::/32"]


def test_a_keys_list_and_its_organizations_must_both_let_it_in(shop: Shop, client: Any) -> None:
    acme: Customer = shop.customer("acme", plan=None)
    acme.organization.allowed_networks = ["192.0.2.0/24"]
    acme.organization.save()
    headers = {"authorization": f"Bearer {shop.key(organization=acme.organization)}"}
    key = ApiKey.objects.get()

    def status(peer: str) -> int:
        return int(client.get("/api/v1/customers/acme/wallet", REMOTE_ADDR=peer, headers=headers).status_code)

    assert status("192.0.2.5") == 200
    api_keys.allow_from(key, ["192.0.2.9", "203.0.113.1"])
    assert [status("192.0.2.5"), status("192.0.2.9"), status("203.0.113.1")] == [403, 200, 403]
    api_keys.allow_from(key, [])
    assert status("192.0.2.5") == 200
    lines = AuditEvent.objects.filter(action="api_key.networks_changed").order_by("pk")
    told = [((line.before or {})["allowed_networks"], (line.after or {})["allowed_networks"]) for line in lines]
    assert told == [([], ["192.0.2.9", "203.0.113.1"]), (["192.0.2.9", "203.0.113.1"], [])]
    assert not any("allowed_networks" in (line.sealed_before or {}) for line in lines)


def test_a_stored_block_that_cannot_be_read_lets_nobody_in(shop: Shop, client: Any, caplog: Any) -> None:
    acme: Customer = shop.customer("acme", plan=None)
    headers = {"authorization": f"Bearer {shop.key(organization=acme.organization)}"}

    def status(blocks: list[str]) -> int:
        Organization.objects.filter(pk=acme.organization.pk).update(allowed_networks=blocks)
        api_keys.forget()
        return int(client.get("/api/v1/customers/acme/wallet", REMOTE_ADDR="192.0.2.5", headers=headers).status_code)

    assert [status(["the office"]), status([""]), status(["the office", "192.0.2.0/24"])] == [403, 403, 200]
    logged = [record.getMessage() for record in caplog.records if record.name == "accounts.addresses"]
    assert len(logged) > 1
    assert all("cannot be read" in message for message in logged)


@pytest.mark.parametrize(
    ("proxies", "peer", "believed"),
    [
        (["10.0.0.0/8"], "10.0.0.1", True),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "192.168.0.1", False),
        (["10.0.0.0/8"], "127.0.0.1", False),
        (["10.0.0.0/8"], "", False),
        (["10.0.0.0/8"], "93.184.216.34", False),
        (["93.184.216.34"], "93.184.216.34", True),
        ([], "127.0.0.1", True),
        ([], "::1", True),
        ([], "172.17.0.1", True),
        ([], "", True),
        ([], "93.184.216.34", False),
        ([], "2606:4700::6810:84e5", False),
        ([], "::ffff:93.184.216.34", False),
        ([], "nonsense", False),
    ],
)
def test_only_a_proxy_says_that_a_call_came_by_tls(
    db: None, client: Any, settings: Any, proxies: list[str], peer: str, believed: bool
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT, settings.TRUSTED_PROXIES = True, proxies

    answer = client.get("/api/v1/nothing", REMOTE_ADDR=peer, headers={"x-forwarded-proto": "https"})

    assert (answer.status_code != 301) == believed
    assert client.get("/sign-in", REMOTE_ADDR=peer).status_code == 301
