"""A question with one button. What it asks is done by a POST alone."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from billing.admin import display
from billing.errors import BillingError


def view(
    page: Any, request: HttpRequest, obj: Model, question: str, run: Callable[[], object], *, button: str = ""
) -> HttpResponse:
    """The question; sent, ``run()``, and back to the object's page, which says what became of it."""
    if request.method != "POST":
        return put(page, request, obj, question, button=button)
    back_url = display.address(obj)
    try:
        run()
    except BillingError as refusal:
        messages.error(request, display.said(refusal.detail))
    else:
        messages.success(request, "Done.")
    return redirect(back_url)


def put(page: Any, request: HttpRequest, obj: Model, question: str, *, button: str = "") -> HttpResponse:
    """The question alone, for pages that answer the POST themselves. The button says ``button``, or the question."""
    context = {
        **page.admin_site.each_context(request),
        "title": question,
        "button": button,
        "subtitle": str(obj),
        "object": obj,
        "back_url": display.address(obj),
    }
    return TemplateResponse(request, "admin/ante/ask.html", context)
