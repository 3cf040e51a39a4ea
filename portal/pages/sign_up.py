"""Opening an account by oneself: ask, follow the link that comes by e-mail, choose a password, and be in."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import addresses, second_factor
from accounts.services import attempts, audit
from billing.errors import AlreadyExists
from billing.services.customer import sign_up
from portal import access, plans, refusals
from portal.forms import NewPasswordForm


class AskForm(forms.Form):
    """Who, for which company, on which plan."""

    company = forms.CharField(label=_("Company"), max_length=100)
    name = forms.CharField(label=_("Your name"), max_length=200)
    email = forms.EmailField(label=_("Work e-mail"), max_length=254)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [(offer.plan.code, offer.plan.name) for offer in plans.offers()]
        if offered:
            self.fields["plan"] = forms.ChoiceField(label=_("Plan"), choices=offered)

    def asked(self) -> sign_up.Asked:
        data = self.cleaned_data
        return sign_up.Asked(data["email"].lower(), data["name"], data["company"], data.get("plan", ""))


@second_factor.open_to_strangers
@require_http_methods(["GET", "POST"])
def ask(request: HttpRequest) -> HttpResponseBase:
    """The form; sent, the same answer for every address."""
    _if_open()
    if request.user.is_authenticated:
        return redirect("portal:dashboard")
    initial = {"plan": access.asked(request, "plan")}
    form = AskForm(request.POST) if request.method == "POST" else AskForm(initial=initial)
    if request.method == "POST" and form.is_valid():
        if attempts.begin(request, f"sign-up:{form.cleaned_data['email']}"):
            link = sign_up.ask(form.asked())
            # The letters of a demonstration go to nobody.
            shown = {"email": form.cleaned_data["email"], "link": link if settings.DEMO else ""}
            return render(request, "portal/sign_up_sent.html", shown)
        form.add_error(None, _("Too many requests. Try again in 15 minutes."))
        return render(request, "portal/sign_up.html", {"form": form}, status=429)
    return render(request, "portal/sign_up.html", {"form": form}, status=400 if form.is_bound else 200)


@second_factor.open_to_strangers
@never_cache
@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponseBase:
    """What the link leads to. Seeing it changes nothing: the account is made by a POST."""
    _if_open()
    asked = sign_up.read(token)
    if asked is None:
        return render(request, "portal/sign_up_confirm.html", {"asked": None}, status=404)
    form = NewPasswordForm(request.POST or None, email=asked.email, name=asked.name)
    if form.is_valid():
        try:
            user = sign_up.open_account(
                asked,
                password=form.cleaned_data["password"],
                ip_address=addresses.text_of(request),
                request_id=audit.request_id_of(request),
            )
        except AlreadyExists as refusal:
            refusals.put(form, refusal)
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            second_factor.joined(request)
            return redirect("portal:dashboard")
    status = 400 if form.is_bound else 200
    return render(request, "portal/sign_up_confirm.html", {"asked": asked, "form": form}, status=status)


def _if_open() -> None:
    if not settings.SELF_SIGN_UP:
        raise Http404
