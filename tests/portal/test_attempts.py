"""After too many failures no password is looked at for a while."""

import re
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import OutgoingMail, User
from accounts.services import attempts
from tests.builders import Shop

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True, params=["cache", "process"])
def _counted_in(request: pytest.FixtureRequest, settings: Any) -> None:
    """With the cache, and with one that cannot be reached."""
    if request.param == "cache":
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        cache.clear()
    else:
        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1/0"}}


@pytest.fixture
def owner(shop: Shop) -> User:
    return shop.member(shop.customer("acme", plan=None), "owner@acme.test")


def sign_in(email: str = "owner@acme.test", password: str = "wrong", address: str = "192.0.2.1", **headers: str) -> Any:
    body = {"username": email, "password": password}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(REMOTE_ADDR=address).post("/sign-in", body, headers=named)


def test_after_ten_failures_the_right_password_does_not_help_either(owner: User) -> None:
    assert [sign_in().status_code for _ in range(attempts.PAIR_MAX)] == [200] * 10

    refused = sign_in(" Owner@ACME.test", PASSWORD)

    assert refused.status_code == 429
    assert refused["Retry-After"] == "900"
    assert "Too many failed attempts. Try again in 15 minutes." in refused.content.decode()
    assert "_auth_user_id" not in refused.client.session
    # Somebody else there, and the same person elsewhere, are not concerned.
    assert sign_in("other@acme.test").status_code == 200
    assert sign_in(password=PASSWORD, address="192.0.2.2").status_code == 302


def test_an_unknown_address_is_refused_alike(owner: User) -> None:
    answers = [sign_in("nobody@acme.test").status_code for _ in range(attempts.PAIR_MAX + 1)]

    assert answers == [200] * 10 + [429]


def test_signing_in_forgets_the_failures(owner: User) -> None:
    for _ in range(3):
        assert [sign_in().status_code for _ in range(attempts.PAIR_MAX - 1)] == [200] * 9
        assert sign_in(password=PASSWORD).status_code == 302


def test_who_tries_many_people_is_refused_as_well(owner: User) -> None:
    answers = [sign_in(f"u{number}@acme.test").status_code for number in range(attempts.ADDRESS_MAX)]

    assert answers == [200] * 50
    assert sign_in(password=PASSWORD).status_code == 429
    assert sign_in(password=PASSWORD, address="192.0.2.2").status_code == 302


def test_signing_in_often_is_no_failure_of_the_address(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ADDRESS_MAX", 2)

    assert {sign_in(password=PASSWORD).status_code for _ in range(5)} == {302}


def test_the_failures_lapse(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WINDOW_SECONDS", 0.2)
    for _ in range(attempts.PAIR_MAX + 1):
        sign_in()
    monkeypatch.undo()
    attempts.time.sleep(0.3)

    assert sign_in(password=PASSWORD).status_code == 302


def test_a_proxy_is_believed_only_where_it_is_trusted(owner: User, settings: Any) -> None:
    def tried(number: int) -> int:
        return int(sign_in(x_forwarded_for=f"spoofed, 198.51.100.{number}").status_code)

    assert [tried(number) for number in range(11)] == [200] * 10 + [429]
    settings.TRUSTED_PROXIES = ["192.0.2.1"]
    assert tried(200) == 200


def test_the_back_office_takes_no_password_of_its_own(owner: User) -> None:
    User.objects.create_superuser("finance@ante.test", PASSWORD)
    client = Client()
    client.force_login(owner)

    refused = client.post(reverse("admin:login"), {"username": "finance@ante.test", "password": PASSWORD})

    assert refused.status_code == 403
    assert client.session["_auth_user_id"] == str(owner.pk)


def test_the_counters_of_a_process_fill_no_memory() -> None:
    counters = attempts.Local(size_max=3)

    assert [counters.add(key, 1) for key in "abca"] == [1, 1, 1, 2]
    assert [counters.add(key, 1) for key in "dbca"] == [1, 2, 2, 1]


def test_who_tries_one_person_from_everywhere_gets_no_further(owner: User, rf: RequestFactory) -> None:
    heard = [
        attempts.begin(rf.post("/sign-in", REMOTE_ADDR=f"198.51.{number // 250}.{number % 250}"), owner.email)
        for number in range(1000)
    ]

    assert heard.count(True) == attempts.PERSON_MAX
    assert sign_in(password=PASSWORD).status_code == 429
    # Nobody else is concerned, and the person is told once.
    assert sign_in("other@acme.test").status_code == 200
    (letter,) = OutgoingMail.objects.filter(recipient=owner.email)
    assert letter.subject == "Many attempts to sign in as you"


def test_one_address_alone_keeps_nobody_from_signing_in_elsewhere(
    owner: User, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "EVERYBODY_MAX", attempts.ADDRESS_MAX)
    for _ in range(attempts.PERSON_MAX + 1):
        attempts.begin(rf.post("/sign-in", REMOTE_ADDR="198.51.100.1"), owner.email)

    assert [sign_in().status_code for _ in range(attempts.PAIR_MAX - 1)] == [200] * 9
    assert sign_in(password=PASSWORD).status_code == 302
    assert not OutgoingMail.objects.filter(recipient=owner.email).exists()


def test_meanwhile_the_person_signs_in_where_they_were_seen_before(owner: User, rf: RequestFactory) -> None:
    body = {"username": owner.email, "password": PASSWORD}
    usual, new = Client(), Client()
    assert usual.post("/sign-in", body).status_code == 302
    usual.post("/sign-out")
    for number in range(attempts.PERSON_MAX + 1):
        attempts.begin(rf.post("/sign-in", REMOTE_ADDR=f"198.51.100.{number}"), owner.email)

    assert new.post("/sign-in", body).status_code == 429
    assert usual.post("/sign-in", body).status_code == 302
    # A new browser is heard again once a link from their mailbox was used in it.
    Client().post("/reset", {"email": owner.email})
    link = re.search(r"/reset/\S+/\S+", OutgoingMail.objects.latest("pk").text)
    assert link is not None
    form = new.get(link[0])["Location"]
    assert new.post(form, dict.fromkeys(["new_password1", "new_password2"], "another long secret")).status_code == 302
    assert new.post("/sign-in", body | {"password": "another long secret"}).status_code == 302


def test_beyond_what_is_usual_for_all_together_everybody_has_fewer(
    owner: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(attempts, "EVERYBODY_MAX", 20)
    for number in range(21):
        assert sign_in(f"u{number}@acme.test", address=f"198.51.100.{number}").status_code == 200

    assert "sign-ins failed" in caplog.text
    assert [sign_in().status_code for _ in range(4)] == [200] * 3 + [429]
    assert sign_in(password=PASSWORD, address="192.0.2.2").status_code == 302
