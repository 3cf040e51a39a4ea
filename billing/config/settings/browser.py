"""Cookies, headers and addresses: what browsers may do, and whom a request is from."""

from csp.constants import NONE, SELF

from billing.config.settings.environment import HTTPS, env
from billing.config.settings.payments import PAYMENT_PAGES, STRIPE_API_BASE

# Sites that may show the pages of signed links in a frame, such as https://app.example.com. Without any: none.
EMBED_ANCESTORS: list[str] = env.list("EMBED_ANCESTORS", default=[])
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
"""Addresses and CIDR blocks of the proxies in front. What anybody else says in X-Forwarded-… is not read."""
STAFF_NETWORKS: list[str] = env.list("STAFF_NETWORKS", default=[])
"""Addresses and CIDR blocks from which staff may work. None: from everywhere."""
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

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
