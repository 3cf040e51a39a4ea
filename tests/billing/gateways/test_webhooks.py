"""Nothing is ever sent to an address that is not public: whatever it is called, and whatever its name leads to."""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from accounts import outgoing
from billing.gateways import webhooks
from tests.certificates import Certificate, issue
from tests.receiver import Receiver, receiving

NOW = datetime.now(UTC)
REFUSED = [
    "http://hooks.test/",
    "https://127.0.0.1/",
    "https://127.8.8.8/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.3.4/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[64:ff9b:1::10.0.0.1]/",
    "https://[::ffff:0:10.0.0.1]/",
    "https://[::ffff:0:93.184.216.34]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[3fff::1]/",
    "https://[2001:0:0:1::1]/",
    "https://[fc00::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2606:4700::5efe:127.0.0.1]/",
    "https://user:password@hooks.test/",
    "https://hooks.test\\@127.0.0.1/",
    "https:///nowhere",
    "https://hooks.test:99999/",
    "ftp://hooks.test/",
    "file:///etc/passwd",
    "https://hooks.test/ HTTP/1.1",
    "https://hooks.test/#part",
    "https://" + "x" * 600,
]
NAMES = {
    "localhost": ["127.0.0.1"],
    "2130706433": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
    "127.1": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "both.test": ["93.184.216.34", "10.0.0.7"],
    "mapped.test": ["::ffff:192.168.0.1"],
    "translated.test": ["::ffff:0:10.0.0.1"],
    "nat64.test": ["64:ff9b::192.168.0.1"],
    "6to4.test": ["2002:c0a8:1::1"],
    "scoped.test": ["fe80::1%eth0"],
}
"""What names lead to here."""


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where connections would have been opened to."""
    tried: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        tried.append(address)
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(outgoing.socket, "create_connection", connect)
    return tried


def names(monkeypatch: pytest.MonkeyPatch, leads_to: dict[str, list[str]]) -> None:
    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in leads_to[host]]

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", look_up)


def send(url: str, *, operators: bool = True) -> webhooks.Answer:
    secret = webhooks.new_secret()
    return webhooks.send(url, operators=operators, body=b"{}", message="msg_1", secrets=[secret], now=NOW)


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_is_not_public_is_refused_at_once(url: str, settings: Any, connected: list[Any]) -> None:
    """Whoever named it; and for customers whatever the operator allows itself."""
    for operators, allowed in ((True, []), (False, ["0.0.0.0/0", "::/0"])):
        settings.WEBHOOK_ALLOWED_NETWORKS = allowed
        with pytest.raises(webhooks.Refused):
            webhooks.check(url, operators=operators)

        assert send(url, operators=operators).status is None
    assert connected == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_to_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: Any, connected: list[Any], name: str
) -> None:
    names(monkeypatch, NAMES)

    for operators, allowed in ((True, []), (False, ["0.0.0.0/0", "::/0"])):
        settings.WEBHOOK_ALLOWED_NETWORKS = allowed
        answer = send(f"https://{name}/", operators=operators)

        assert (answer.status, answer.said) == (None, f"{name} does not lead to a public address.")
    assert connected == []


def test_a_name_that_leads_elsewhere_the_second_time_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    monkeypatch.setattr(
        outgoing.socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (next(answers)[0], port))]
    )

    send("https://rebinding.test/")

    assert connected == [("93.184.216.34", 443)]


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::6810:84e5", "64:ff9b::5db8:d822"])
def test_public_addresses_are_sent_to(monkeypatch: pytest.MonkeyPatch, connected: list[Any], address: str) -> None:
    assert outgoing.is_public(ip_address(address))
    names(monkeypatch, {"hooks.test": [address]})

    send("https://hooks.test:8443/path?query=1")

    assert connected == [(address, 8443)]


def test_only_a_network_that_the_operator_allows_itself_is_reached_without_tls(
    settings: Any, connected: list[Any]
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]

    assert send("http://93.184.216.34/").said == "It is not a public address."
    assert send("http://127.0.0.1:9/", operators=False).said == "It must begin with https://."
    assert send("https://127.0.0.1:9/", operators=False).said == "It is not a public address."
    assert connected == []
    send("http://127.0.0.1:9/")

    assert connected == [("127.0.0.1", 9)]


def test_what_arrives_is_signed_and_the_reference_library_says_so(settings: Any, receiver: Receiver) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    old, new = webhooks.new_secret(), webhooks.new_secret()
    body = json.dumps({"type": "x", "data": {"name": "Ünïcode"}}).encode()

    answer = webhooks.send(
        receiver.url, operators=True, body=body, message="msg_1", secrets=[new, old], now=datetime.now(UTC)
    )

    assert answer.accepted
    (arrived,) = receiver.arrived
    assert len(arrived.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        assert Webhook(secret).verify(arrived.body, arrived.headers)["type"] == "x"
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(arrived.body.replace(b"x", b"y"), arrived.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(arrived.body, arrived.headers)


def test_a_redirect_is_not_followed(settings: Any, receiver: Receiver) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    receiver.answers = [(302, {"Location": receiver.url}), (200, {})]

    assert send(receiver.url).status == 302
    assert len(receiver.arrived) == 1


def test_one_who_talks_for_ever_is_hung_up_on(
    settings: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr(webhooks, "SECONDS_MAX", 1.0)
    receiver.drip = True

    answer = send(receiver.url)

    assert answer.status is None or len(answer.said) < webhooks.ANSWER_BYTES_MAX
    assert receiver.drip_ended.wait(30)


def test_the_environments_proxy_is_not_used(settings: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert send(receiver.url).accepted


AUTHORITY = issue("authority.test")
SHOWN = {
    "by nobody": (issue("hooks.test"), "self-signed certificate"),
    "by another authority": (issue("hooks.test", by=issue("other.test")), "unable to get local issuer certificate"),
    "another name": (issue("other.test", by=AUTHORITY), "certificate is not valid for 'hooks.test'"),
    "over": (issue("hooks.test", by=AUTHORITY, days=-1), "certificate has expired"),
    "control": (issue("hooks.test", by=AUTHORITY), None),
}


@pytest.mark.parametrize(("shown", "why"), SHOWN.values(), ids=SHOWN)
def test_a_certificate_must_be_for_the_name_and_of_an_authority_that_is_trusted(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shown: Certificate, why: str | None
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    (tmp_path / "trusted.pem").write_bytes(AUTHORITY.pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    look_up = outgoing.socket.getaddrinfo

    def here(host: str, *how: Any, **further: Any) -> Any:
        return look_up("127.0.0.1" if host == "hooks.test" else host, *how, **further)

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", here)
    with receiving(shown.server(tmp_path)) as receiver:
        answer = send(receiver.url.replace("127.0.0.1", "hooks.test"))

    assert (answer.accepted, len(receiver.arrived)) == ((True, 1) if why is None else (False, 0))
    assert why is None or why in answer.said


def test_secrets_are_long_enough_and_never_the_same() -> None:
    import base64

    made = {webhooks.new_secret() for _ in range(100)}

    assert len(made) == 100
    assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) >= 24 for secret in made)
