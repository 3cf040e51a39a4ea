"""The portal's addresses. ``/live/`` belongs to ``portal.live`` and is served beside Django."""

from django.urls import path

from portal.pages import dashboard, session, statement, usage

app_name = "portal"

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("activity", dashboard.activity, name="activity"),
    path("balance.json", dashboard.balance_json, name="balance-json"),
    path("usage", usage.usage, name="usage"),
    path("usage.csv", usage.usage_csv, name="usage-csv"),
    path("statement", statement.statement, name="statement"),
    path("statement.csv", statement.statement_csv, name="statement-csv"),
    path("sign-in", session.SignIn.as_view(), name="sign-in"),
    path("sign-out", session.sign_out, name="sign-out"),
    path("favicon.ico", session.favicon),
    path("organization", session.choose_organization, name="choose-organization"),
]
