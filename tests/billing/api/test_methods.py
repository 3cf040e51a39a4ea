"""A method is answered only where the view names its scope, and to keys that have it."""

from collections.abc import Callable

import pytest
from django.urls import URLPattern

from billing.api import base, urls
from billing.api.keys import KeyView
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

PATHS = ["/customers", "/customers/acme", "/customers/acme/wallet", "/events", "/usage", "/plans", "/authorizations"]


@pytest.mark.parametrize("path", PATHS)
def test_head_asks_for_the_scope_of_get(shop: Shop, as_key: Callable[[str | None], Api], path: str) -> None:
    shop.customer()

    refused = as_key(shop.key("grants:write")).send("HEAD", path, None)
    answered = as_key(shop.key()).send("HEAD", path, None)

    assert refused.status_code == 403
    assert (answered.status_code, answered.content) == (200, b"")


@pytest.mark.parametrize("path", PATHS)
def test_options_and_trace_are_no_methods_here(api: Api, shop: Shop, path: str) -> None:
    shop.customer()

    for method in ("OPTIONS", "TRACE", "DELETE"):
        response = api.send(method, path, None)
        problem(response, 405, "method_not_allowed")
        assert method not in response["Allow"]


def test_a_stranger_learns_of_no_methods(shop: Shop, as_key: Callable[[str | None], Api]) -> None:
    for method in ("HEAD", "OPTIONS"):
        assert as_key(None).send(method, "/customers", None).status_code == 401


def test_every_method_that_a_view_has_names_its_scope() -> None:
    views = {
        pattern.callback.cls
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern) and issubclass(getattr(pattern.callback, "cls", object), base.View)
    }

    assert len(views) > 10
    for view in views:
        handlers = {name.upper() for name in view.http_method_names if name != "head" and hasattr(view, name)}
        # Any key may ask whose it is.
        assert handlers == set(view.scopes) | ({"GET"} if view is KeyView else set()), view
