"""Taking something back: a page that says what will happen and asks why, and then the service, once.

What is taken back cannot be taken back again, so a second click is refused by the service and needs no key; where parts
of it can, the form says what they were decided on.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from django import forms
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.admin import adding, by_hand, display
from billing.errors import BillingError
from billing.models import Approval

BOOKED = "Entries are never changed or deleted. This is booked by further entries."


class DayInput(forms.DateInput):
    input_type = "date"


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        help_text="For the trail: why, and who agreed. The customer does not see it.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


def view(
    page: Any,
    request: HttpRequest,
    *,
    obj: Model,
    question: str,
    figure: object,
    lines: Sequence[tuple[str, object]],
    button: str,
    run: Callable[..., object],
    done: str,
    warning: str = "",
    note: str = BOOKED,
    fields: Mapping[str, forms.Field] | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> HttpResponse:
    """The question with a reason to give; sent, ``run(reason)``, and back to the object's page.

    Nothing is done by a request that is not a POST. A refusal of the service is shown where the reason is asked for; so
    is ``warning``, beforehand. What ``run`` returns says whether it waits for a second person. ``fields`` are asked for
    as well, and given to ``run`` by their names; ``names`` are the form's for what the service calls otherwise.
    """
    back_url = display.address(obj)
    form = ReasonForm(request.POST or None)
    asked_for = dict(fields or {})
    form.fields = {**asked_for, **form.fields, **asked_for}  # First, and in place of the form's own of the same name.
    if request.method == "POST" and form.is_valid():
        try:
            answers = dict(form.cleaned_data)
            outcome = run(answers.pop("reason"), **answers)
        except BillingError as refusal:
            adding.say(form, refusal, names=names)
        else:
            asked = outcome if isinstance(outcome, Approval) else None
            by_hand.tell(request, asked if asked and asked.state == Approval.State.WAITING else None, done)
            return HttpResponseRedirect(back_url)
    context = {
        **page.admin_site.each_context(request),
        "title": button,
        "subtitle": str(obj),
        "object": obj,
        "form": form,
        "question": question,
        "figure": figure,
        "lines": lines,
        "button": button,
        "warning": warning,
        "note": note,
        "back_url": back_url,
    }
    return TemplateResponse(request, "admin/ante/confirm.html", context)
