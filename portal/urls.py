"""The portal's addresses. ``/live/`` belongs to ``portal.live`` and is served beside Django."""

from django.urls import path

from accounts import second_factor
from portal.pages import dashboard, factors, funding, security, session, statement, usage

app_name = "portal"

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("activity", dashboard.activity, name="activity"),
    path("balance.json", dashboard.balance_json, name="balance-json"),
    path("usage", usage.usage, name="usage"),
    path("usage.csv", usage.usage_csv, name="usage-csv"),
    path("statement", statement.statement, name="statement"),
    path("statement.csv", statement.statement_csv, name="statement-csv"),
    path("sign-in", second_factor.open_to_strangers(session.SignIn.as_view()), name="sign-in"),
    path("sign-in/code", factors.give, name="second-factor"),
    path("top-up", funding.top_up, name="top-up"),
    path("top-up/quote", funding.quote, name="top-up-quote"),
    path("top-up/back", funding.back, name="top-ups-back"),
    path("top-ups/<uuid:top_up_id>", funding.paid, name="paid"),
    path("top-ups/<uuid:top_up_id>/receipt", funding.receipt, name="receipt"),
    path("payment-methods", funding.add_method, name="add-method"),
    path("payment-methods/<uuid:method_id>/remove", funding.remove_method, name="remove-method"),
    path("sign-out", session.sign_out, name="sign-out"),
    path("favicon.ico", session.favicon),
    path("security", security.overview, name="security"),
    path("security/authenticator", factors.authenticator, name="authenticator"),
    path("security/recovery-codes", factors.recovery_codes, name="recovery-codes"),
    path("security/factors/<str:persistent_id>/remove", factors.remove, name="remove-factor"),
    path("organization", session.choose_organization, name="choose-organization"),
]
