"""A forgotten password: a link by e-mail, good once, for a quarter of an hour. The second factor is still asked for."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext_lazy as _

from accounts import addresses
from accounts.models import User
from accounts.services import attempts, audit, devices, factors, mail


class ResetForm(PasswordResetForm):
    """Writes through the queue, so that the answer takes as long for an unknown address as for a known one."""

    email = forms.EmailField(
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )

    def save(self, *args: Any, **kwargs: Any) -> None:
        email = self.cleaned_data["email"]
        user = User.objects.filter(email=email.lower(), is_active=True).first()
        generator = kwargs["token_generator"]
        # Made for nobody and written to nobody too: the work is the same, and so is the time.
        link = _link(user or User(email=email), generator)
        text = _("Set a new password within 15 minutes, once: {link}")
        mail.tell(user or User(), _("Set a new password"), text, link=link)


def _link(user: User, generator: Any) -> str:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("portal:reset-confirm", kwargs={"uidb64": uid, "token": generator.make_token(user)})
    return f"{settings.BASE_URL}{path}"


class Ask(views.PasswordResetView):
    """Ask for a link. The same answer whether the address is known or not."""

    form_class = ResetForm
    template_name = "portal/reset.html"
    success_url = reverse_lazy("portal:reset-sent")

    def form_valid(self, form: Any) -> HttpResponse:
        if not attempts.begin(self.request, f"reset:{form.cleaned_data['email']}"):
            form.add_error(None, _("Too many requests. Try again in 15 minutes."))
            return self.render_to_response(self.get_context_data(form=form), status=429)
        return super().form_valid(form)


SENT = views.PasswordResetDoneView.as_view(template_name="portal/reset_sent.html")


class Confirm(views.PasswordResetConfirmView):
    """Set the new password. Nobody is signed in by it; sessions and trusted devices end."""

    template_name = "portal/reset_confirm.html"
    success_url = reverse_lazy("portal:sign-in")

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            user = form.user
            factors.end_sessions(user)
            audit.record(
                actor=_actor(self.request, user),
                action="user.password_reset",
                object_type="user",
                object_id=str(user.pk),
            )
            mail.tell(
                user, _("Your password was changed"), _("Your password was set anew by a link sent to this address.")
            )
        devices.remember(self.request, response, user)
        return response


def _actor(request: HttpRequest, user: User) -> audit.Actor:
    where = addresses.text_of(request)
    return audit.Actor.of_user(user, ip_address=where, request_id=audit.request_id_of(request))
