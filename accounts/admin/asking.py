"""A page that asks once more."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse


class Asking:
    """A page of the back office that asks once more before something is done."""

    admin_site: Any
    opts: Any

    def _asked(
        self, request: HttpRequest, obj: Any, title: str, question: str, do: Callable[[], object], *, after: str = ""
    ) -> HttpResponse:
        """``after``: where to go then, if not back to the object's page."""
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
        if request.method == "POST":
            do()
            messages.success(request, f"{title}: done.")
            return HttpResponseRedirect(after or back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": str(obj),
            "opts": self.opts,
            "original": obj,
            "question": question,
            "back_url": back,
        }
        return TemplateResponse(request, "admin/ante/asked.html", context)
