"""Who changed something is told to whatever changes it: no front door calls a writing service without an actor."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType

from accounts.backoffice import AuditedAdmin
from accounts.services.audit import record
from tests.architecture.sources import files, name

DOORS = ("billing/api", "billing/admin", "portal/pages", "accounts/admin")
SERVICES = ("accounts.services", "billing.services")
READS = {
    "accounts.services.api_keys": (
        *("authenticate", "is_accepted", "is_of_other_mode", "mode", "recently_seen"),
        *("renewed_elsewhere", "was_seen", "why_paused"),
    ),
    "accounts.services.audit": ("actor_of", "actors_called", "operators", "outward", "request_id_of"),
    "accounts.services.consents": ("owed",),
    "accounts.services.devices": ("of",),
    "accounts.services.factors": ("enrolled", "handle", "kind_of", "of", "recovery_codes_left", "uri"),
    "accounts.services.privacy": ("obstacles",),
    "accounts.services.single_sign_on": ("door", "of", "open_to", "redirect_uri"),
    "accounts.services.team": ("find", "open_invitations"),
    "billing.services.alerts.anomalies": ("action_of",),
    "billing.services.alerts.defaults": ("shown",),
    "billing.services.catalog.draft_terms": ("price", "read"),
    "billing.services.catalog.estimates": ("for_customer", "for_plan", "of_price"),
    "billing.services.catalog.plan_sheets": ("differences", "of_price", "of_terms", "of_version"),
    "billing.services.catalog.plans": ("amounts", "check", "endless"),
    "billing.services.catalog.price_previews": ("preview",),
    "billing.services.catalog.prices": ("check_one",),
    "billing.services.catalog.samples": ("attempt",),
    "billing.services.catalog.what_if_runs": ("progress", "results"),
    "billing.services.customer.customers": ("check",),
    "billing.services.customer.embeds": ("issue", "opened"),
    "billing.services.customer.privacy": ("obstacles",),
    "billing.services.customer.sign_up": ("read",),
    "billing.services.exports.making": ("journal",),
    "billing.services.four_eyes": ("reason",),
    "billing.services.funding.evidence_papers": ("pdf",),
    "billing.services.funding.methods": ("kept",),
    "billing.services.funding.profiles": ("payable", "payments"),
    "billing.services.funding.quotes": ("bonuses", "currencies", "currency", "quote", "quote_pack"),
    "billing.services.funding.refunds": ("refundable",),
    "billing.services.funding.rules": ("fix_url",),
    "billing.services.heartbeat": ("runs", "silent_seconds", "working_since"),
    "billing.services.idempotency": ("fingerprint",),
    "billing.services.invoicing.documents": ("invoice_pdf", "receipt_pdf"),
    "billing.services.invoicing.taxes": ("decide",),
    "billing.services.notices.addressing": ("default", "preferences"),
    "billing.services.notices.reading": ("inbox",),
    "billing.services.notices.targets": ("offered",),
    "billing.services.notices.texts": ("topics_for",),
    "billing.services.revenue.partner_papers": ("statement_pdf",),
    "billing.services.revenue.partners": ("payable", "statement", "steps"),
    "billing.services.subscriptions.changing": ("preview",),
    "billing.services.subscriptions.moving": ("preview_move",),
    "billing.services.wallet.recurring": ("drawn_up", "periods_of"),
    "billing.services.webhooks.endpoints": ("of",),
    "billing.services.webhooks.reading": ("require", "told", "unread"),
}
BOOKS, PROVIDER = "the event or the entries say which key it was", "what the provider says is written down as its word"
WITHOUT = {
    "accounts.services.attempts.begin": "counts who tries",
    "accounts.services.attempts.begin_onward": "the same",
    "accounts.services.attempts.came_back": "the same",
    "accounts.services.devices.remember": "the browser of a sign-in, which is a row of its own",
    "accounts.services.factors.begin": "a factor that is none until it is confirmed",
    "accounts.services.factors.end_sessions": "a part of what is written down beside it",
    "accounts.services.mail.tell": "a letter about what is written down beside it",
    "accounts.services.team.lock": "changes nothing",
    "accounts.services.single_sign_on.identify": "a sign-in, whose session is a row of its own",
    "accounts.services.single_sign_on.remind": "a stranger, who gets a letter",
    "billing.services.authorizations.capturing.capture_amount": BOOKS,
    "billing.services.authorizations.capturing.capture_usage": BOOKS,
    "billing.services.authorizations.ending.void": BOOKS,
    "billing.services.authorizations.opening.open_amount": BOOKS,
    "billing.services.authorizations.opening.open_for_usage": BOOKS,
    "billing.services.usage.recording.record": BOOKS,
    "billing.services.catalog.what_if_runs.ask": "a question, whose row says who asked",
    "billing.services.customer.sign_up.ask": "a stranger, who gets a letter",
    "billing.services.customer.sign_up.open_account": "the person whom it makes is the actor",
    "billing.services.funding.attempts.make_way": "ends what the payer left open, for what they ask now",
    "billing.services.funding.attempts.settle": PROVIDER,
    "billing.services.funding.disputes.look_again": PROVIDER,
    "billing.services.funding.inbox.receive": PROVIDER,
    "billing.services.funding.methods.open_setup": "a page of the provider's on which nothing is done yet",
    "billing.services.funding.refunds.start": "asks the provider for what is written down already",
    "billing.services.funding.top_ups.start": "asks the provider for what is written down already",
    "billing.services.idempotency.once": "runs what is told itself",
    "billing.services.idempotency.phased": "runs what is told itself",
    "billing.services.notices.reading.read": "a notice was read",
    "billing.services.webhooks.endpoints.test": "a message, which is listed itself",
}
"""What a front door calls without saying who acts, and why."""

NO_LINE = {
    "billing.services.four_eyes.check": "weighs what is written down by whoever asks it",
    "billing.services.four_eyes.check_apart": "the same",
    "billing.services.subscriptions.moving.agree_to_move": "each move of the plan's is written down by itself",
}
"""What is told who acts and writes no line of its own, and why."""


def services_of(tree: ast.Module) -> dict[str, ModuleType]:
    """The modules and packages of services that a file imports, by the name it has for them."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(SERVICES):
            continue
        for alias in node.names:
            try:
                module = importlib.import_module(f"{node.module}.{alias.name}")
            except ModuleNotFoundError:
                continue  # A name of the module's, not a module.
            found[alias.asname or alias.name] = module
    return found


def calls() -> Iterator[tuple[str, str, bool]]:
    """(where, service, whether it is told who acts) for each call of a service by a front door."""
    for path in files(*DOORS):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        services = services_of(tree)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in services):
                continue
            called = getattr(services[node.func.value.id], node.func.attr, None)
            if not inspect.isfunction(called):
                continue
            told = any(keyword.arg in {"actor", None} for keyword in node.keywords)
            yield f"{name(path)}:{node.lineno}", f"{called.__module__}.{called.__qualname__}", told


def test_whoever_acts_is_told_to_the_service() -> None:
    nameless = {service for _, service, told in calls() if not told}

    reads = {f"{module}.{function}" for module, functions in READS.items() for function in functions}
    assert nameless ^ (reads | set(WITHOUT)) == set()


Function = ast.FunctionDef | ast.AsyncFunctionDef


def services_that_are_told() -> dict[str, tuple[Function, ModuleType]]:
    """Each function of the services that is told who acts, private ones too, by its whole name."""
    found: dict[str, tuple[Function, ModuleType]] = {}
    for path in files("accounts/services", "billing/services"):
        module = importlib.import_module(name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function) and "actor" in {
                each.arg for each in (*node.args.args, *node.args.kwonlyargs)
            }:
                found[f"{module.__name__}.{node.name}"] = node, module
    return found


def told_by(node: ast.AST, module: ModuleType) -> set[str]:
    """The whole names of what is called, or made ``partial``, with ``actor`` among what it is given."""
    found = set()
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if not any(isinstance(each, ast.Name) and each.id == "actor" for part in given for each in ast.walk(part)):
            continue
        for called in [call.func, *call.args[:1]]:
            function: object = module
            for part in ast.unparse(called).split("."):
                function = getattr(function, part, None)
            if inspect.isfunction(function := inspect.unwrap(function) if callable(function) else function):
                found.add(f"{function.__module__}.{function.__qualname__}")
    return found


def recording(services: dict[str, tuple[Function, ModuleType]]) -> set[str]:
    """Those of them that hand the actor on to the trail, by whichever way."""
    tells = {service: told_by(*found) for service, found in services.items()}
    known = {"accounts.services.audit.record"}
    while more := {service for service, told in tells.items() if told & known} - known:
        known |= more
    return known


def test_a_service_that_is_told_who_acts_writes_it_down() -> None:
    services = services_that_are_told()
    public = {service for service in services if not service.rpartition(".")[2].startswith("_")}

    assert (public - recording(services)) ^ NO_LINE.keys() == set()


def function_of(call: ast.Call) -> str:
    """The name of what is called, without what is before its last dot."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def recorders(tree: ast.Module) -> dict[str, list[str]]:
    """What in a file adds a line to the trail, and its parameters: ``audit.record`` and the functions around it."""
    found = {
        "record": list(inspect.signature(record).parameters),
        "_record": list(inspect.signature(AuditedAdmin._record).parameters)[1:],
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            isinstance(each, ast.Call) and ast.unparse(each.func) == "audit.record" for each in ast.walk(node)
        ):
            found[node.name] = [each.arg for each in (*node.args.args, *node.args.kwonlyargs) if each.arg != "self"]
    return found


def may_say_changed(argument: ast.expr) -> bool:
    """Whether an argument is, or may be, the code of a change: one that is put together may be."""
    if isinstance(argument, ast.IfExp):
        return may_say_changed(argument.body) or may_say_changed(argument.orelse)
    if isinstance(argument, ast.Constant):
        return str(argument.value).endswith("changed")
    return isinstance(argument, ast.JoinedStr)


def changes_without_before(source: str) -> list[int]:
    """The lines of a file that record a change and do not say what was before it."""
    tree, found = ast.parse(source), []
    known = recorders(tree)
    around = {
        call
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and known.get(function.name) and function.name.startswith("_")
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record"
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or call in around or function_of(call) not in known:
            continue
        said = dict(zip(known[function_of(call)], call.args, strict=False))
        said |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
        codes = (said.get(each) for each in ("action", "what"))
        before = said.get("before")
        if any(code is not None and may_say_changed(code) for code in codes) and (
            before is None or (isinstance(before, ast.Constant) and before.value is None)
        ):
            found.append(call.lineno)
    return found


def test_what_is_recorded_as_changed_says_what_was_before() -> None:
    silent = [
        f"{name(path)}:{line}" for path in files() for line in changes_without_before(path.read_text(encoding="utf-8"))
    ]

    assert silent == []


def test_the_rule_finds_what_it_is_for() -> None:
    around = "def _tell(actor, what, before=None, **after):\n    audit.record(action=f'x.{what}', before=before)\n"
    silent = [
        "audit.record(action='x.changed', after={})",
        "audit.record(action='x.limit_changed', before=None)",
        around + "_tell(actor, 'changed', limit=1)",
        "self._record(request, obj, 'changed' if change else 'created', None, after)",
        "self._record(request, obj, f'member_{what}', None, after)",
    ]
    telling = [
        "audit.record(action='x.changed', before=before)",
        around + "_tell(actor, 'changed', before)",
        "self._record(request, obj, f'member_{what}', before, after)",
        "audit.record(action='x.created', after={})",
        "events.message('x.changed', previous=1)",
    ]

    assert [len(changes_without_before(source)) for source in silent] == [1] * len(silent)
    assert [len(changes_without_before(source)) for source in telling] == [0] * len(telling)
