"""The payment provider, and what may be topped up."""

from decimal import Decimal

from billing.config.settings.environment import env

STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="").rstrip("/")
PAYMENT_PROVIDER: str = env.str("PAYMENT_PROVIDER", default="billing.gateways.stripe.gateway")
"""What gives the payment provider: the path of a function that returns a ``billing.gateways.payments.Provider``."""
PAYMENT_PAGES: list[str] = env.list(
    "PAYMENT_PAGES", default=["https://checkout.stripe.com", "https://hooks.stripe.com", "https://billing.stripe.com"]
)
"""Where people are sent to pay. A page under a domain of one's own is named here."""
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
TOP_UP_BONUSES: dict[str, str] = env.dict("TOP_UP_BONUSES", default={})
"""From which amount on how much is given in addition: ``100=0.05,500=0.10``."""
TOP_UP_FX_RATES: dict[str, str] = env.dict("TOP_UP_FX_RATES", default={})
"""What one unit of the first currency is in the second: ``EUR_USD=1.0850``."""
