"""Settings, all from the environment. Unset means a safe default for one's own machine; see ``docs/operations.md``."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from kombu import Exchange, Queue
from whitenoise.compress import Compressor

from billing.config.backoffice import UNFOLD  # noqa: F401 - the theme reads it from here.

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("ANTE_DEMO", default=False)
"""Demonstration data and the sign-ins shown on the first page. Never set it where real money is."""

TEST_MODE = env.bool("ANTE_TEST", default=False)
"""Whether all of this is for trying out: test keys are made and accepted, live ones refused. Else the reverse."""

SELF_SIGN_UP = env.bool("SELF_SIGN_UP", default=DEMO)
"""Whether anybody may open an account, with a wallet of its own, at /sign-up."""

MARGIN_FLOOR = Decimal(env.str("MARGIN_FLOOR", default="0.2"))
"""The least that is to be left of what usage is charged, as a share of it: what is below is flagged."""

# Sites that may show the pages of signed links in a frame, such as https://app.example.com. Without any: none.
EMBED_ANCESTORS: list[str] = env.list("EMBED_ANCESTORS", default=[])
BASE_URL: str = env.str("BASE_URL", default="http://127.0.0.1:8000")
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var")))
HTTPS = BASE_URL.startswith("https://")

# Commands that read no secret and touch no data run without one; everything that serves refuses to.
_NEEDS_NO_SECRET = {"check", "collectstatic", "makemigrations", "spectacular", "help", "--help", "version", "--version"}
SECRET_KEY: str = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if len(sys.argv) > 1 and sys.argv[1] not in _NEEDS_NO_SECRET:
        raise ImproperlyConfigured("SECRET_KEY is not set. `manage.py up` makes one and keeps it in DATA_DIR.")
    SECRET_KEY = "nothing-is-signed-with-this-by-commands-that-need-no-secret"  # noqa: S105
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[])
"""``id:key,…``, 32 bytes in base64 each: the first seals secrets at rest, all open them. Unset: one from SECRET_KEY."""

_host = (
    BASE_URL.partition("://")[2].partition("/")[0].rpartition(":")[0] or BASE_URL.partition("://")[2].partition("/")[0]
)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[_host, "127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[BASE_URL] if HTTPS else [])

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "billing.apps.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_otp",
    "django_otp_webauthn",
    "accounts",
    "billing",
    "portal",
]

MIDDLEWARE = [
    "accounts.middleware.RequestIdMiddleware",
    "accounts.middleware.PrintableCookiesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ReadingMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "accounts.second_factor.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "billing.config.urls"
WSGI_APPLICATION = "billing.config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- Database -------------------------------------------------------------------------------------------------------
# The application connects as a role that owns nothing and cannot change or delete what is append-only; migrations
# connect as the owner (DATABASE_OWNER_URL) and grant the application's role its rights (DATABASE_APP_ROLE).
DATABASES: dict[str, Any] = {"default": env.db("DATABASE_URL", default="postgres:///ante")}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=300)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"].setdefault("server_side_binding", True)
DATABASES["default"]["OPTIONS"].setdefault(
    "options",
    env.str(
        "DATABASE_LIMITS",
        default="-c lock_timeout=2s -c statement_timeout=30s -c idle_in_transaction_session_timeout=15s",
    ),
)
DATABASE_APP_ROLE: str = env.str("DATABASE_APP_ROLE", default="")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}


# --- Money ----------------------------------------------------------------------------------------------------------
def _amounts(name: str, default: str) -> dict[str, Decimal]:
    """``usd=500,*=1000``: an amount for each asset, and one for all others. What is not there has no limit."""
    return {asset: Decimal(amount) for asset, amount in env.dict(name, default=env.parse_value(default, dict)).items()}


APPROVAL_ABOVE = _amounts("APPROVAL_ABOVE", "*=1000")
"""More than this, moved by hand at once, waits for a second person. Empty: nothing does."""
APPROVAL_DAILY_ABOVE = _amounts("APPROVAL_DAILY_ABOVE", "*=5000")
"""And what would take the sum of what one person moved alone within 24 hours above this."""
APPROVAL_HOURS: int = env.int("APPROVAL_HOURS", default=72)
"""How long a request waits before it lapses."""
REINSTATED_CREDIT_DAYS: int = env.int("REINSTATED_CREDIT_DAYS", default=30)

# --- Tasks ----------------------------------------------------------------------------------------------------------
# The broker carries wake-ups, never the only copy of a fact: every task finds its work in the database, and a sweep
# each minute finds what a lost wake-up left. Hence no result backend and no far-away ETAs.
CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default=REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), routing_key=name) for name in ("celery", "webhooks")]
CELERY_TASK_ROUTES = {"billing.send_webhooks": {"queue": "webhooks"}}
"""What waits for the servers of strangers has workers of its own: they hold up nothing but themselves. A worker that is
told of no queue (``-Q``) takes from both."""
WAKE_UP_KEPT_SECONDS = 60.0


def _every(seconds: float, task: str) -> dict[str, Any]:
    """Wake-ups that no worker takes up in time are dropped: the later ones find the same work, and the queue stays
    short however long workers are busy. A minute at least, for clocks that differ."""
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, WAKE_UP_KEPT_SECONDS)}}


CELERY_BEAT_SCHEDULE = {
    "settle-due-grants": _every(60.0, "billing.settle_due_grants"),
    "expire-authorizations": _every(15.0, "billing.expire_authorizations"),
    "renew-subscriptions": _every(15.0, "billing.renew_subscriptions"),
    "collect-unpaid-usage": _every(5.0, "billing.collect_unpaid_usage"),
    "watch-balances": _every(10.0, "billing.watch_balances"),
    "watch-ahead": _every(60.0, "billing.watch_ahead"),
    "watch-commitments": _every(300.0, "billing.watch_commitments"),
    "send-notices": _every(5.0, "billing.send_notices"),
    "relay-outbox": _every(5.0, "billing.relay_outbox"),
    "roll-up-usage": _every(5.0, "billing.roll_up_usage"),
    "sum-usage-days": _every(600.0, "billing.sum_usage_days"),
    "send-webhooks": _every(5.0, "billing.send_webhooks"),
    "seal-ledger": _every(3600.0, "billing.seal_ledger"),
    "process-payment-events": _every(15.0, "billing.process_payment_events"),
    "settle-payments": _every(20.0, "billing.settle_payments"),
    "reconcile-payments": _every(1800.0, "billing.reconcile_payments"),
    "run-auto-top-ups": _every(15.0, "billing.run_auto_top_ups"),
    "send-mail": _every(10.0, "accounts.send_mail"),
    "work-what-ifs": _every(5.0, "billing.work_what_ifs"),
    "expire-approvals": _every(60.0, "billing.expire_approvals"),
    "finish-plan-moves": _every(300.0, "billing.finish_plan_moves"),
    "collect-invoices": _every(600.0, "billing.collect_invoices"),
    "issue-invoices": _every(3600.0, "billing.issue_invoices"),
    "check-books": _every(600.0, "billing.check_books"),
    "export-files": _every(300.0, "billing.export_files"),
    "close-days": _every(60.0, "billing.close_days"),
    "forget-old": _every(24 * 3600.0, "billing.forget_old"),
    "forget-at-provider": _every(300.0, "billing.forget_at_provider"),
    "beat-alive": _every(15.0, "billing.note_worker_alive"),
}

PERIOD_GRACE_SECONDS = env.int("PERIOD_GRACE_SECONDS", default=3600)
"""How long after a billing period's end its usage may still come in before it is settled."""

CLOSE_DAY_AFTER_SECONDS = env.int("CLOSE_DAY_AFTER_SECONDS", default=900)
"""How long after its end a day of the books is closed."""
NETSUITE_SUBSIDIARY: str = env.str("NETSUITE_SUBSIDIARY", default="")
SAP_COMPANY_CODE: str = env.str("SAP_COMPANY_CODE", default="")
"""What the journal's files say that we are, where the books of the company are kept."""

INVOICE_EVERY: str = env.str("INVOICE_EVERY", default="month")
"""When what customers owe is put on paper: at the end of each ``day``, ``week`` or ``month``."""
INVOICE_AMOUNT = Decimal(env.str("INVOICE_AMOUNT", default="0"))
"""What is owed and on no invoice is put on one as soon as it comes to so much; 0 for at the end of the period alone."""
INVOICE_LINE_KEYS: list[str] = env.list("INVOICE_LINE_KEYS", default=[])
"""What of the events' dimensions stands on invoices, a line for each value: ``project``, ``feature``."""
INVOICE_DUE_DAYS = env.int("INVOICE_DUE_DAYS", default=14)
INVOICE_SERIES: str = env.str("INVOICE_SERIES", default="INV")
CREDIT_NOTE_SERIES: str = env.str("CREDIT_NOTE_SERIES", default="CN")
INVOICE_SELLER: list[str] = env.list("INVOICE_SELLER", default=[])
"""The lines that say who asks for it: name, address, tax number. Separated by commas."""
INVOICE_SELLER_TAX_ID: str = env.str("INVOICE_SELLER_TAX_ID", default="")
"""Our own tax number, for invoices that programs read: with it, and TAX_HOME_COUNTRY, PDFs are Factur-X."""
INVOICE_NOTE: str = env.str("INVOICE_NOTE", default="")
"""What stands below: how to pay, what the law wants said."""

INVOICE_COLLECT = env.bool("INVOICE_COLLECT", default=False)
"""Whether the method that a customer keeps is charged for invoices that are due."""
INVOICE_TRY_DAYS: list[str] = env.list("INVOICE_TRY_DAYS", default=["0", "3", "7", "14"])
"""How many days after an invoice is due it is charged, and again where that failed."""
INVOICE_REMINDER_DAYS: list[str] = env.list("INVOICE_REMINDER_DAYS", default=["1", "7", "14"])
INVOICE_OVERDUE_ACTION: str = env.str("INVOICE_OVERDUE_ACTION", default="remind")
"""What an invoice does that is not paid when it is due: nothing, remind or suspend. Customers may have other terms."""
INVOICE_GRACE_DAYS = env.int("INVOICE_GRACE_DAYS", default=14)
"""How many whole days after the due day usage goes on, where an overdue invoice suspends it."""

TAX_PROVIDER: str = env.str("TAX_PROVIDER", default="billing.services.invoicing.taxes.Table")
"""Who says which tax is due: a class with the method of ``billing.gateways.tax.Provider``."""
TAX_HOME_COUNTRY: str = env.str("TAX_HOME_COUNTRY", default="").upper()
"""Where the operator is at home: there nobody else accounts for the tax."""
TAX_EU_COUNTRIES = frozenset(
    [
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IT",
        "LT",
        "LU",
        "LV",
        "MT",
        "NL",
        "PL",
        "PT",
        "RO",
        "SE",
        "SI",
        "SK",
    ]
)

# --- People ---------------------------------------------------------------------------------------------------------
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
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default=f"Ante <ante@{_host}>")
# Passkeys belong to the host that people reach: where BASE_URL gets another, they are to be made anew. Browsers make
# none for a bare address; on one's own machine they work at localhost.
_LOOPBACK = {"127.0.0.1", "[::1]"}
OTP_WEBAUTHN_RP_ID = "localhost" if _host in _LOOPBACK else _host
OTP_WEBAUTHN_RP_NAME = "Ante"
OTP_WEBAUTHN_ALLOWED_ORIGINS = [BASE_URL.rstrip("/").replace(f"//{_host}", f"//{OTP_WEBAUTHN_RP_ID}")]
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

# --- Browser security -----------------------------------------------------------------------------------------------
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "ante_session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "ante_csrf"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])
"""Addresses and CIDR blocks of the proxies in front. What anybody else says of X-Forwarded-For is not read."""
STAFF_NETWORKS: list[str] = env.list("STAFF_NETWORKS", default=[])
"""Addresses and CIDR blocks from which staff may work. None: from everywhere."""
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="").rstrip("/")
PAYMENT_PAGES: list[str] = env.list(
    "PAYMENT_PAGES", default=["https://checkout.stripe.com", "https://hooks.stripe.com", "https://billing.stripe.com"]
)
"""Where people are sent to pay. A page under a domain of one's own is named here."""

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # A form that pays is answered with the way to the provider's page.
        "form-action": [SELF, *([STRIPE_API_BASE] if STRIPE_API_BASE else PAYMENT_PAGES)],
    },
}

# --- Payments -------------------------------------------------------------------------------------------------------
PAYMENT_PROVIDER: str = env.str("PAYMENT_PROVIDER", default="billing.gateways.stripe.gateway")
"""What gives the payment provider: the path of a function that returns a ``billing.gateways.payments.Provider``."""
# Without a key nobody can pay. `manage.py up` starts a stand-in for the provider then, and sets these to it.
STRIPE_SECRET_KEY: str = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRETS: list[str] = env.list("STRIPE_WEBHOOK_SECRET", default=[])
STRIPE_TIMEOUT_SECONDS = env.float("STRIPE_TIMEOUT_SECONDS", default=10.0)

TOP_UP_MIN = Decimal(env.str("TOP_UP_MIN", default="5"))
TOP_UP_MAX = Decimal(env.str("TOP_UP_MAX", default="10000"))
AUTO_TOP_UPS_PER_DAY = env.int("AUTO_TOP_UPS_PER_DAY", default=5)
"""After so many payments in 24 hours an automatic top-up that has no monthly limit is suspended."""
TOP_UP_PRESETS = [Decimal(preset) for preset in env.list("TOP_UP_PRESETS", default=["10", "25", "50", "100", "250"])]
TOP_UP_FEE_RATE = Decimal(env.str("TOP_UP_FEE_RATE", default="0"))
TOP_UP_FEE_FIXED = Decimal(env.str("TOP_UP_FEE_FIXED", default="0"))
"""By the customer's country: ``DE=0.19,FR=0.20``."""
TOP_UP_BONUSES: dict[str, str] = env.dict("TOP_UP_BONUSES", default={})
"""From which amount on how much is given in addition: ``100=0.05,500=0.10``."""
TOP_UP_FX_RATES: dict[str, str] = env.dict("TOP_UP_FX_RATES", default={})
"""What one unit of the first currency is in the second: ``EUR_USD=1.0850``."""

# --- Watching what is spent -----------------------------------------------------------------------------------------
ANOMALY_FLOOR = Decimal(env.str("ANOMALY_FLOOR", default="1"))
"""No hour that comes to less, in any currency, is told of."""

DEFAULT_ALERTS: dict[str, str] = env.dict(
    "DEFAULT_ALERTS", default={"balance_below": "0.5 0.2 0.1", "grant_expiring": "30 7 1"}
)
"""The alerts that a new customer begins with: shares of the last top-up, days, or shares of a commitment."""

# --- The books ------------------------------------------------------------------------------------------------------
BREAKAGE_EXPECTED = Decimal(env.str("BREAKAGE_EXPECTED", default="0"))
"""The share of what was paid for and lapses that is expected to stay unused: recognised as the rest is used. 0: when it
has lapsed."""

# --- Files for the operator's own books and warehouse ---------------------------------------------------------------
EXPORT_TO: str = env.str("EXPORT_TO", default="")
"""Where to: ``file:///srv/exports``, ``s3://bucket/prefix`` or ``sftp://user@host/path``. Empty: nowhere."""
EXPORT_JOURNALS: list[str] = env.list("EXPORT_JOURNALS", default=["csv"])
"""The forms in which each closed day's journal is delivered: csv, jsonl, netsuite, sap, parquet."""
EXPORT_WAREHOUSE: str = env.str("EXPORT_WAREHOUSE", default="")
"""The form in which events, charges and entries are: jsonl or parquet. Empty: they are not."""
EXPORT_SFTP_KEY_FILE: str = env.str("EXPORT_SFTP_KEY_FILE", default="")
EXPORT_SFTP_PASSWORD: str = env.str("EXPORT_SFTP_PASSWORD", default="")
EXPORT_SFTP_KNOWN_HOSTS: str = env.str("EXPORT_SFTP_KNOWN_HOSTS", default="")

# --- Webhooks -------------------------------------------------------------------------------------------------------
WEBHOOK_ALLOWED_NETWORKS: list[str] = env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])
"""CIDR blocks beyond the public internet that endpoints of the operator may be in, with or without TLS."""

# --- Language, time, files ------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
# Numbers and dates are written by accounts.reading, as each person wants them, and nothing is by the language alone.
FORMAT_MODULE_PATH = ["billing.config.formats"]
TIME_ZONE: str = env.str("TIME_ZONE", default="UTC")
"""The operator's: where the days of the books and of the back office begin."""
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MAX_AGE = 300
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")

# --- API ------------------------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
CUSTOMER_CALLS_PER_SECOND = env.float("CUSTOMER_CALLS_PER_SECOND", default=20.0)
"""Of one customer's own keys, in each web process; ten seconds of them at once. 0: as many as they like."""
OPERATOR_SOURCES = env.list("OPERATOR_SOURCES", default=["ante-gateway", "authorizations", "lago", "otlp"])
"""Sources of events that customers' own keys may not name: who can name one takes the ids of work that is not reported
yet, and it could not be charged any more. The sources of the operator's own programs belong here."""
# A plan's draft with a hundred prices, each with its tiers, is one form.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["billing.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["billing.api.authentication.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["billing.api.json.ExactJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["billing.api.json.ExactJSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "billing.api.schema.Schema",
    "EXCEPTION_HANDLER": "billing.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ante API",
    "VERSION": "1",
    "DESCRIPTION": "Prepaid, real-time usage billing: wallets, grants, usage events and the ledger behind them.",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["billing.api.schema.complete_requests", "billing.api.schema.add_problem"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Logs -----------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "accounts.logs.ScrubbingFormatter", "format": "%(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
        # A line for each task that did its work would bury the others: there are several every few seconds.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
    },
}
