"""How the back office looks and what its sidebar holds, in the words of the theme."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": _may(f"{app}.view_{name}"),
    }


def _group(title: str, *items: dict[str, Any], folded: bool = False) -> dict[str, Any]:
    return {"title": title, "separator": False, "collapsible": folded, "items": list(items)}


def mode(request: HttpRequest) -> list[str] | None:
    """The theme's label in the head of every page: that nothing here is for real money."""
    return ["Test mode", "warning"] if settings.TEST_MODE else None


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Ante",
    "SITE_HEADER": "Ante",
    "SITE_SUBHEADER": "Back office",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("admin-ante/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("admin-ante/mark.svg")}],
    "STYLES": [lambda request: static("admin-ante/theme.css"), lambda request: static("admin-ante/ante.css")],
    "SCRIPTS": [lambda request: static("admin-ante/theme.js")],
    "ENVIRONMENT": "billing.config.backoffice.mode",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "billing.admin.dashboard.context",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            _group(
                "Overview",
                {"title": "Today", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                _item("Approvals", "approval_delegation", "billing.approval")
                | {"badge": "billing.admin.dashboard.approvals_waiting"},
            ),
            _group(
                "Customers",
                _item("Customers", "domain", "billing.customer"),
                _item("Wallets", "account_balance_wallet", "billing.wallet"),
                _item("Grants", "redeem", "billing.grant"),
                _item("Recurring grants", "event_repeat", "billing.recurringgrant"),
                _item("Authorizations", "lock_clock", "billing.authorization"),
                _item("Subscriptions", "autorenew", "billing.subscription"),
            ),
            _group(
                "Money in",
                _item("Top-ups", "add_card", "billing.topup"),
                _item("Payments", "credit_card", "billing.paymentattempt"),
                _item("Refunds", "undo", "billing.refund"),
                _item("Disputes", "gavel", "billing.dispute"),
                _item("Disputed charges", "feedback", "billing.chargedispute"),
                _item("Automatic top-ups", "autorenew", "billing.autotopup"),
                _item("Payment methods", "wallet", "billing.paymentmethod"),
                _item("Packs", "inventory_2", "billing.pack"),
                _item("Provider events", "mark_email_read", "billing.providerevent"),
                _item("Differences", "rule", "billing.discrepancy"),
                _item("Comparisons", "compare_arrows", "billing.reconciliation"),
                folded=True,
            ),
            _group(
                "Spend controls",
                _item("Budgets", "speed", "billing.budget"),
                _item("Alerts", "notifications", "billing.alert"),
                _item("Notices", "campaign", "billing.notice"),
                _item("Deliveries of notices", "outgoing_mail", "billing.noticedelivery"),
                _item("Telephones and chats", "sms", "billing.noticetarget"),
                folded=True,
            ),
            _group(
                "Money and books",
                {
                    "title": "Revenue",
                    "icon": "calendar_month",
                    "link": reverse_lazy("admin:billing_revenue"),
                    "permission": _may("billing.view_revenueday"),
                },
                {
                    "title": "Reports",
                    "icon": "bar_chart",
                    "link": reverse_lazy("admin:billing_report", args=["recurring"]),
                    "permission": _may("billing.view_revenueday"),
                },
                {
                    "title": "Chart of accounts",
                    "icon": "account_tree",
                    "link": reverse_lazy("admin:billing_chart_of_accounts"),
                    "permission": _may("billing.view_accountmapping"),
                },
                _item("Checks of the books", "fact_check", "billing.bookcheck"),
                _item("Invoices", "request_quote", "billing.invoice"),
                _item("Partners", "handshake", "billing.partner"),
                _item("Customers of partners", "group_add", "billing.partnercustomer"),
                _item("Taxes", "account_balance", "billing.taxrule"),
                _item("Tax details of customers", "badge", "billing.taxprofile"),
                _item("Exports", "drive_folder_upload", "billing.exportfile"),
                _item("Ledger entries", "menu_book", "billing.ledgerentry"),
                _item("Transactions", "receipt_long", "billing.ledgertransaction"),
                _item("Balances", "balance", "billing.balance"),
                folded=True,
            ),
            _group(
                "Usage",
                _item("Events", "bolt", "billing.usageevent"),
                _item("Charges", "payments", "billing.charge"),
                folded=True,
            ),
            _group(
                "Catalog",
                _item("Plans", "sell", "billing.plan"),
                _item("Drafts", "edit_note", "billing.plandraft"),
                _item("Plan versions", "history_edu", "billing.planversion"),
                _item("Prices", "price_change", "billing.price"),
                _item("Meters", "speed", "billing.meter"),
                {
                    "title": "Try an event",
                    "icon": "experiment",
                    "link": reverse_lazy("admin:billing_try_event"),
                    "permission": _may("billing.view_meter"),
                },
                _item("Assets", "toll", "billing.asset"),
                folded=True,
            ),
            _group(
                "Costs and margins",
                {
                    "title": "Margins",
                    "icon": "percent",
                    "link": reverse_lazy("admin:billing_margins"),
                    "permission": _may("billing.view_providercost"),
                },
                {
                    "title": "What if",
                    "icon": "science",
                    "link": reverse_lazy("admin:billing_what_if"),
                    "permission": _may("billing.view_providercost"),
                },
                _item("Provider costs", "price_check", "billing.providercost"),
                _item("Overheads", "dns", "billing.overhead"),
                folded=True,
            ),
            _group(
                "Operations",
                {
                    "title": "Workers",
                    "icon": "engineering",
                    "link": reverse_lazy("admin:billing_workers"),
                    "permission": _may("billing.view_outboxevent"),
                },
                _item("Webhooks", "webhook", "billing.webhookendpoint"),
                _item("Webhook deliveries", "send", "billing.webhookdelivery"),
                _item("Unusual spending", "monitoring", "billing.spendanomaly"),
                _item("Outbox", "outbox", "billing.outboxevent"),
                _item("Idempotency", "fingerprint", "billing.idempotencyrecord"),
                _item("Running quantities", "functions", "billing.usagecounter"),
                _item("Audit", "policy", "accounts.auditevent"),
                folded=True,
            ),
            _group(
                "People and access",
                _item("People", "person", "accounts.user"),
                _item("Organizations", "corporate_fare", "accounts.organization"),
                _item("Memberships", "badge", "accounts.membership"),
                _item("Single sign-on", "login", "accounts.identityprovider"),
                _item("API keys", "key", "accounts.apikey"),
                _item("Letters", "mail", "accounts.outgoingmail"),
                _item("Staff groups", "groups", "auth.group"),
                {
                    "title": "Who may do what",
                    "icon": "verified_user",
                    "link": reverse_lazy("admin:accounts_user_powers"),
                    "permission": _may("accounts.view_user"),
                },
                folded=True,
            ),
        ],
    },
}
