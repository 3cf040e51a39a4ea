"""People sign in by e-mail, whose case does not matter."""

import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError

from accounts.models import Membership, Organization, User


def test_an_address_is_kept_in_lower_case(db: None) -> None:
    User.objects.create_user("Jane@Example.COM", "correct horse battery")

    assert User.objects.get().email == "jane@example.com"
    assert authenticate(username="JANE@example.com", password="correct horse battery") is not None
    assert authenticate(username="jane@example.com", password="wrong") is None


def test_an_address_belongs_to_one_person(db: None) -> None:
    User.objects.create_user("jane@example.com")

    with pytest.raises(IntegrityError):
        User.objects.create_user("JANE@example.com")


def test_nobody_signs_in_without_a_password(db: None) -> None:
    User.objects.create_user("jane@example.com")

    assert authenticate(username="jane@example.com", password="") is None
    assert not User.objects.get().has_usable_password()


def test_a_superuser_is_staff(db: None) -> None:
    user = User.objects.create_superuser("root@example.com", "correct horse battery")

    assert (user.is_staff, user.is_superuser) == (True, True)


@pytest.mark.parametrize(
    ("name", "full", "short"), [("Jane Doe", "Jane Doe", "Jane"), ("", "jane@example.com", "jane")]
)
def test_a_person_without_a_name_is_called_by_the_address(name: str, full: str, short: str) -> None:
    user = User(email="jane@example.com", name=name)

    assert (user.get_full_name(), user.get_short_name()) == (full, short)


def test_a_person_has_one_role_in_an_organization(db: None) -> None:
    user, acme = User.objects.create_user("jane@example.com"), Organization.objects.create(name="Acme")
    Membership.objects.create(user=user, organization=acme, role="viewer")

    with pytest.raises(IntegrityError):
        Membership.objects.create(user=user, organization=acme, role="owner")
