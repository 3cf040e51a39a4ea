"""Consent is kept with its line in the trail, or not at all."""

import pytest
from django.db import OperationalError

from accounts.models import AuditEvent, User
from accounts.services import audit, consents
from accounts.services.audit import SYSTEM


def test_consent_is_kept_once_with_its_line_or_not_at_all(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    person = User.objects.create_user("one@acme.test")

    def gone(**_: object) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(audit, "record", gone)
        with pytest.raises(OperationalError):
            consents.give(person, version="2026-11", actor=SYSTEM)
    assert not person.consents.exists()

    for _ in range(2):
        consents.give(person, version="2026-11", actor=SYSTEM)

    assert person.consents.count() == 1
    assert AuditEvent.objects.get(action="terms.agreed").after == {"version": "2026-11"}
