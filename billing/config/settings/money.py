"""What staff may move alone, periods, invoices, taxes, what is watched, the books, and files for the operator."""

from decimal import Decimal

from billing.config.settings.environment import env


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
MARGIN_FLOOR = Decimal(env.str("MARGIN_FLOOR", default="0.2"))
"""The least that is to be left of what usage is charged, as a share of it: what is below is flagged."""

# --- Periods, days, invoices ------------------------------------------------------------------------------------------
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
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)

# --- Watching what is spent -------------------------------------------------------------------------------------------
ANOMALY_FLOOR = Decimal(env.str("ANOMALY_FLOOR", default="1"))
"""No hour that comes to less, in any currency, is told of."""

DEFAULT_ALERTS: dict[str, str] = env.dict(
    "DEFAULT_ALERTS", default={"balance_below": "0.5 0.2 0.1", "grant_expiring": "30 7 1"}
)
"""The alerts that a new customer begins with: shares of the last top-up, days, or shares of a commitment."""

# --- The books --------------------------------------------------------------------------------------------------------
BREAKAGE_EXPECTED = Decimal(env.str("BREAKAGE_EXPECTED", default="0"))
"""The share of what was paid for and lapses that is expected to stay unused: recognised as the rest is used. 0: when it
has lapsed."""

# --- Files for the operator's own books and warehouse -----------------------------------------------------------------
EXPORT_TO: str = env.str("EXPORT_TO", default="")
"""Where to: ``file:///srv/exports``, ``s3://bucket/prefix`` or ``sftp://user@host/path``. Empty: nowhere."""
EXPORT_JOURNALS: list[str] = env.list("EXPORT_JOURNALS", default=["csv"])
"""The forms in which each closed day's journal is delivered: csv, jsonl, netsuite, sap, parquet."""
EXPORT_WAREHOUSE: str = env.str("EXPORT_WAREHOUSE", default="")
"""The form in which events, charges and entries are: jsonl or parquet. Empty: they are not."""
EXPORT_SFTP_KEY_FILE: str = env.str("EXPORT_SFTP_KEY_FILE", default="")
EXPORT_SFTP_PASSWORD: str = env.str("EXPORT_SFTP_PASSWORD", default="")
EXPORT_SFTP_KNOWN_HOSTS: str = env.str("EXPORT_SFTP_KNOWN_HOSTS", default="")
