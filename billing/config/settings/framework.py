"""Django itself, the REST framework, the database, languages, files and logs."""

import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from whitenoise.compress import Compressor

from billing.config.backoffice import UNFOLD  # noqa: F401 - the theme reads it from here.
from billing.config.settings.environment import BASE_DIR, BASE_URL, DATA_DIR, HOST, HTTPS, REDIS_URL, env

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

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[HOST, "127.0.0.1", "localhost", "[::1]"])
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
    "accounts.middleware.ForwardedProtoMiddleware",
    "accounts.middleware.PrintableCookiesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ReadingMiddleware",
    "accounts.downloads.DownloadsMiddleware",
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

# --- Database ---------------------------------------------------------------------------------------------------------
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

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# --- Language, time, files --------------------------------------------------------------------------------------------
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

# --- API --------------------------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
CUSTOMER_CALLS_PER_SECOND = env.float("CUSTOMER_CALLS_PER_SECOND", default=20.0)
"""Of one customer's own keys, in each web process; ten seconds of them at once. 0: as many as they like."""
OPERATOR_SOURCES = env.list("OPERATOR_SOURCES", default=["ante-gateway", "authorizations", "lago", "otlp"])
"""Sources of events that customers' own keys may not name: who can name one takes the ids of work that is not reported
yet, and it could not be charged any more. The sources of the operator's own programs belong here."""
WEBHOOK_ALLOWED_NETWORKS: list[str] = env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])
"""CIDR blocks beyond the public internet that endpoints of the operator may be in, with or without TLS."""
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

# --- Logs -------------------------------------------------------------------------------------------------------------
LOG_FORMAT: str = env.str("LOG_FORMAT", default="json")
"""``json``, a line for each object, for programs; ``text`` for people."""
if LOG_FORMAT not in {"json", "text"}:
    raise ImproperlyConfigured("LOG_FORMAT is json or text.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "accounts.logs.ScrubbingFormatter", "as_json": LOG_FORMAT == "json"},
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
        # Granian and Celery bring handlers of their own for these, unless there is one.
        "_granian": {"handlers": ["console"], "propagate": False},
        "granian.access": {"handlers": ["console"], "propagate": False},
        "celery.task": {"handlers": ["console"], "propagate": False},
        "multiprocessing": {"handlers": ["console"], "propagate": False},
    },
}
