"""One's own name and time zone."""

from collections.abc import Callable
from datetime import UTC, datetime

import time_machine
from django.test import Client

from accounts.models import AuditEvent, User
from tests.builders import Shop
from tests.portal.test_pages import text

SignedIn = Callable[[User], Client]


def test_days_begin_where_the_reader_is_and_only_for_them(shop: Shop, signed_in: SignedIn) -> None:
    with time_machine.travel(datetime(2026, 3, 10, 18, tzinfo=UTC), tick=True):
        acme = shop.customer("acme", usd="10", timezone="America/Chicago")
        shop.record(acme, time=datetime(2026, 3, 10, 16, tzinfo=UTC), output_tokens=1000)
        reader, other = signed_in(shop.member(acme)), signed_in(shop.member(acme, "other@acme.test"))
        assert ">Mar 10</a>" in text(reader.get("/usage?group=time"))
        response = reader.post("/profile", {"name": "A Reader", "timezone": "Asia/Tokyo"})
        assert response.status_code == 302
        page = text(reader.get("/usage?group=time"))
        assert ">Mar 11</a>" in page
        assert "Asia/Tokyo" in page
        assert "A Reader" in page
        assert ">Mar 10</a>" in text(other.get("/usage?group=time"))
    event = AuditEvent.objects.get(action="user.profile_changed")
    assert event.before == {"name": "", "timezone": ""}
    assert event.after == {"name": "A Reader", "timezone": "Asia/Tokyo"}
    assert (event.sealed_before, event.sealed_after) == ({}, {})
    reader.post("/profile", {"name": "A Reader", "timezone": "Asia/Tokyo"})
    assert AuditEvent.objects.filter(action="user.profile_changed").count() == 1


def test_what_is_no_time_zone_is_refused(shop: Shop, signed_in: SignedIn) -> None:
    user = shop.member(shop.customer("acme"))
    for zone in ["Mars/Olympus", "../etc/passwd", "x" * 100]:
        response = signed_in(user).post("/profile", {"name": "", "timezone": zone})
        assert response.status_code == 400
        assert "Select a valid choice" in text(response)
    user.refresh_from_db()
    assert user.timezone == ""


def test_staff_and_people_of_no_organization_have_a_profile(db: None, signed_in: SignedIn) -> None:
    nobody = User.objects.create_user("nobody@nowhere.test", timezone="Europe/Berlin")
    assert "Europe/Berlin" in text(signed_in(nobody).get("/profile"))


def test_numbers_and_dates_are_written_as_the_reader_writes_them(shop: Shop, signed_in: SignedIn) -> None:
    with time_machine.travel(datetime(2026, 3, 10, 18, tzinfo=UTC), tick=True):
        acme = shop.customer("acme", usd="1234.5")
        shop.record(acme, time=datetime(2026, 3, 10, 16, tzinfo=UTC), output_tokens=1000)
        reader, other = signed_in(shop.member(acme)), signed_in(shop.member(acme, "other@acme.test"))
        chosen = {"name": "", "timezone": "", "number_style": "point_comma", "date_style": "dotted"}
        assert reader.post("/profile", chosen).status_code == 302
        assert "1.234,50" in text(reader.get("/wallet"))
        assert ">10.03.</a>" in text(reader.get("/usage?group=time"))
        assert "1,234.50" in text(other.get("/wallet"))
        assert reader.get("/balance.json").json()["balances"][0]["available_parts"][0] == "$1.234"
        for wrong in ({"number_style": "roman"}, {"date_style": "x"}, {"language": "tlh"}):
            assert reader.post("/profile", chosen | wrong).status_code == 400
