"""The portal's addresses. ``/live/`` belongs to ``portal.live`` and is served beside Django."""

from django.urls import path

from accounts import second_factor
from portal.pages import (
    dashboard,
    factors,
    funding,
    keys,
    passkeys,
    reset,
    security,
    session,
    statement,
    team,
    trail,
    usage,
)

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
    path("sign-in/passkey/begin", second_factor.open_to_strangers(passkeys.BeginProof.as_view()), name="passkey-begin"),
    path("sign-in/passkey", second_factor.open_to_strangers(passkeys.CompleteProof.as_view()), name="passkey"),
    path("reset", second_factor.open_to_strangers(reset.Ask.as_view()), name="reset"),
    path("reset/sent", second_factor.open_to_strangers(reset.SENT), name="reset-sent"),
    path("reset/<uidb64>/<token>", second_factor.open_to_strangers(reset.Confirm.as_view()), name="reset-confirm"),
    path("invitations/<str:token>", team.invitation, name="invitation"),
    path("keys", keys.keys, name="keys"),
    path("keys/new", keys.create, name="new-key"),
    path("keys/<uuid:key_id>/rotate", keys.rotate, name="rotate-key"),
    path("keys/<uuid:key_id>/revoke", keys.revoke, name="revoke-key"),
    path("team", team.members, name="team"),
    path("team/invite", team.invite, name="invite"),
    path("team/invitations/<uuid:invitation_id>/withdraw", team.withdraw, name="withdraw-invitation"),
    path("team/<uuid:membership_id>/role", team.change_role, name="change-role"),
    path("team/<uuid:membership_id>/remove", team.remove, name="remove-member"),
    path("trail", trail.trail, name="trail"),
    path("trail.csv", trail.trail_csv, name="trail-csv"),
    path("networks", security.networks, name="networks"),
    path("security", security.overview, name="security"),
    path("security/authenticator", factors.authenticator, name="authenticator"),
    path(
        "security/passkeys/begin",
        second_factor.open_for_enrolment(passkeys.BeginEnrolment.as_view()),
        name="new-passkey-begin",
    ),
    path(
        "security/passkeys", second_factor.open_for_enrolment(passkeys.CompleteEnrolment.as_view()), name="new-passkey"
    ),
    path("security/password", security.password, name="password"),
    path("security/sessions/end", security.end_session, name="end-session"),
    path("security/devices/<uuid:device_id>/revoke", security.revoke_device, name="revoke-device"),
    path("security/recovery-codes", factors.recovery_codes, name="recovery-codes"),
    path("security/factors/<str:persistent_id>/remove", factors.remove, name="remove-factor"),
    path("organization", session.choose_organization, name="choose-organization"),
]
