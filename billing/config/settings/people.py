"""Who gets in and how, what they are sent, and what is kept of them."""

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from billing.config.settings.environment import BASE_URL, DATA_DIR, DEMO, HOST, env

SELF_SIGN_UP = env.bool("SELF_SIGN_UP", default=DEMO)
"""Whether anybody may open an account, with a wallet of its own, at /sign-up."""

AUTH_USER_MODEL = "accounts.User"
SESSION_ENGINE = "accounts.sessions"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = reverse_lazy("portal:sign-in")
LOGIN_REDIRECT_URL = reverse_lazy("portal:dashboard")
LOGOUT_REDIRECT_URL = reverse_lazy("portal:sign-in")
SECOND_FACTOR_URL = reverse_lazy("portal:second-factor")
SECOND_FACTOR_ENROL_URL = reverse_lazy("portal:authenticator")

# Single sign-on of the operator's own people (OpenID Connect). Organizations name theirs in the portal.
STAFF_SSO_ISSUER: str = env.str("STAFF_SSO_ISSUER", default="")
"""Empty: there is none."""
STAFF_SSO_CLIENT_ID: str = env.str("STAFF_SSO_CLIENT_ID", default="")
STAFF_SSO_CLIENT_SECRET: str = env.str("STAFF_SSO_CLIENT_SECRET", default="")
STAFF_SSO_ALLOWED_NETWORKS: list[str] = env.list("STAFF_SSO_ALLOWED_NETWORKS", default=[])
"""CIDR blocks beyond the public internet in which this provider may be, with or without TLS."""
STAFF_SSO_REQUIRED: bool = env.bool("STAFF_SSO_REQUIRED", default=False)
"""Whether staff get in by it alone. Superusers get in without, with password and second factor."""
STAFF_SSO_URL = reverse_lazy("portal:company-staff")
if bool(STAFF_SSO_ISSUER) != bool(STAFF_SSO_CLIENT_ID and STAFF_SSO_CLIENT_SECRET):
    raise ImproperlyConfigured("STAFF_SSO_ISSUER, STAFF_SSO_CLIENT_ID and STAFF_SSO_CLIENT_SECRET belong together.")
if STAFF_SSO_REQUIRED and not STAFF_SSO_ISSUER:
    raise ImproperlyConfigured("STAFF_SSO_REQUIRED without STAFF_SSO_ISSUER would let nobody in.")

# Letters to people. Unset, they are written to files in DATA_DIR, for one's own machine.
EMAIL_URL: str = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    globals().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_TIMEOUT = 10
SMS_URL: str = env.str("SMS_URL", default="")
"""The gateway for text messages as a URL of Apprise without a recipient, such as ``twilio://SID:TOKEN@+15551234567``."""
OPERATOR_NOTIFY_URL: str = env.str("OPERATOR_NOTIFY_URL", default="")
"""Where the operator is told of what may need somebody: any URL of Apprise."""
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default=f"Ante <ante@{HOST}>")
# Passkeys belong to the host that people reach: where BASE_URL gets another, they are to be made anew. Browsers make
# none for a bare address; on one's own machine they work at localhost.
_LOOPBACK = {"127.0.0.1", "[::1]"}
OTP_WEBAUTHN_RP_ID = "localhost" if HOST in _LOOPBACK else HOST
OTP_WEBAUTHN_RP_NAME = "Ante"
OTP_WEBAUTHN_ALLOWED_ORIGINS = [BASE_URL.rstrip("/").replace(f"//{HOST}", f"//{OTP_WEBAUTHN_RP_ID}")]
OTP_WEBAUTHN_ALLOW_PASSWORDLESS_LOGIN = False
PASSWORD_RESET_TIMEOUT = 15 * 60

TERMS_VERSION: str = env.str("TERMS_VERSION", default="")
"""The version of the terms that customers' people must agree to; another one is asked for anew. Empty: nothing is."""
TERMS_URL: str = env.str("TERMS_URL", default="")
"""Where the terms can be read."""
AUDIT_ADDRESS_DAYS = env.int("AUDIT_ADDRESS_DAYS", default=365)
"""How long the trail keeps from which address somebody acted."""
LETTER_DAYS = env.int("LETTER_DAYS", default=30)
"""How long a letter that could not be sent is kept."""
INVITATION_DAYS = env.int("INVITATION_DAYS", default=90)
"""How long an invitation that nobody accepted is kept after its end."""
IDEMPOTENCY_DAYS = env.int("IDEMPOTENCY_DAYS", default=30)
"""How long answers are kept for whoever repeats a request under its Idempotency-Key."""
