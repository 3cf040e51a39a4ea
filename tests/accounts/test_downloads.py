"""Files that are made while they are sent: how many at once."""

from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.utils import translation

from accounts.downloads import DownloadsMiddleware
from accounts.models import User


def _get(person: User, organization_id: UUID | None = None, *, whole: bool = False) -> HttpResponseBase:
    def view(request: HttpRequest) -> Any:
        return HttpResponse(b"page") if whole else StreamingHttpResponse(iter([b"a", b"b"]))

    request = RequestFactory().get("/file")
    request.user = person
    request.organization_id = organization_id  # type: ignore[attr-defined]
    return DownloadsMiddleware(view)(request)


def _person() -> User:
    return User(pk=uuid4())


def test_a_person_has_two_files_at_once_and_pages_as_before(db: None) -> None:
    person = _person()
    first, second = _get(person), _get(person)

    with translation.override("de"):
        third = _get(person)
    assert isinstance(third, HttpResponse)
    assert (third.status_code, third["Retry-After"]) == (503, "30")
    assert third.content.decode().startswith("Es werden schon")
    assert _get(person, whole=True).status_code == 200
    assert _get(_person()).status_code == 200

    assert isinstance(first, StreamingHttpResponse)
    assert b"".join(first) == b"ab"  # type: ignore[arg-type]
    assert _get(person).status_code == 503
    first.close()
    assert _get(person).status_code == 200
    second.close()


def test_the_people_of_an_organization_leave_a_place_to_others_and_all_have_an_end() -> None:
    organization = uuid4()
    held = [_get(_person(), organization) for _ in range(3)]
    assert _get(_person(), organization).status_code == 503

    held.append(_get(_person(), uuid4()))
    assert [one.status_code for one in held] == [200] * 4
    assert _get(_person(), uuid4()).status_code == 503
