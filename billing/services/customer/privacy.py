"""Forgetting a customer, or a person: names, addresses and what else says who it was go; the books stay as they are.

Amounts, times and opaque ids stay in the ledger, which is sealed, and invoices stay as they were issued, because the
law wants them kept. Of what is kept elsewhere the payment provider is asked to forget its copy (``settle_due``).
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Func, JSONField, Q
from django.utils import timezone

from accounts.models import (
    AuditDetail,
    AuditEvent,
    IdentityProvider,
    Invitation,
    Membership,
    Organization,
    OutgoingMail,
    User,
)
from accounts.services import api_keys, audit, staff, team
from accounts.services import privacy as people
from accounts.working import for_a_while
from billing import locks, pipeline
from billing.errors import ApprovalRequired, InvalidState
from billing.gateways import wakeups
from billing.gateways.payments import Refused, Unreachable
from billing.models import (
    Alert,
    Approval,
    Authorization,
    AutoTopUp,
    Balance,
    Budget,
    BudgetCounter,
    ChargeDispute,
    Collection,
    Customer,
    Dispute,
    Grant,
    IdempotencyRecord,
    Note,
    Notice,
    NoticeDelivery,
    NoticePreference,
    NoticeTarget,
    OutboxEvent,
    PaymentAttempt,
    PaymentMethod,
    PaymentProfile,
    RecurringGrant,
    Refund,
    SpendAnomaly,
    Subscription,
    TaxProfile,
    UnpaidUsage,
    Wallet,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.services import four_eyes
from billing.services.funding import profiles, rules
from billing.services.retrying import retried
from billing.services.wallet import recurring, wallets
from billing.services.webhooks import endpoints

TASK = "billing.forget_elsewhere"
FORGET_BATCH = 100
ERASED = "Erased"
NOWHERE = "https://erased.invalid/"
WORDS = [
    "name",
    "value",
    "scope",
    "reason",
    "note",
    "reference",
    "description",
    "metadata",
    "data",
    "paused_key",
    "url",
]
"""What people and programs filled in, by its name in messages and stored answers."""
_WORDLESS = """(SELECT COALESCE(jsonb_object_agg(part.name, CASE
    WHEN part.name <> ALL ('{%(words)s}'::text[]) THEN part.said
    WHEN jsonb_typeof(part.said) = 'string' THEN to_jsonb('%(erased)s'::text)
    WHEN jsonb_typeof(part.said) = 'object' THEN '{}'::jsonb
    WHEN jsonb_typeof(part.said) = 'array' THEN '[]'::jsonb
    ELSE part.said END), '{}'::jsonb) FROM jsonb_each(%(expressions)s) AS part (name, said))"""

logger = logging.getLogger(__name__)


def obstacles(customer: Customer) -> list[str]:
    """Why the customer cannot be forgotten now, in words; empty where they can."""
    now = timezone.now()
    mine = Q(customer=customer)
    owes = Balance.objects.filter(mine).filter(Q(owed__gt=0) | Q(available__lt=0) | Q(dispute_debt__gt=0))
    reasons = {
        "Money is owed. Pay it first.": owes,
        "An invoice is open: have it paid or write it off.": Collection.objects.filter(
            mine, state__in=Collection.UNSETTLED
        ),
        "There is usage that has not been paid for.": UnpaidUsage.objects.filter(mine, open=True),
        "Work is authorized and not captured yet.": Authorization.objects.filter(
            mine, status=Authorization.Status.OPEN
        ),
        "A payment is under way.": PaymentAttempt.objects.filter(mine, status__in=PaymentAttempt.OPEN),
        "A refund is under way.": Refund.objects.filter(mine, status__in=Refund.OPEN),
        "A charge is disputed.": ChargeDispute.objects.filter(mine, status=ChargeDispute.Status.OPEN),
        "A payment is disputed.": Dispute.objects.filter(mine, status__in=[*Dispute.UNDECIDED, Dispute.Status.INQUIRY]),
        "A plan still runs. Cancel it, and wait for its end.": Subscription.objects.filter(mine).filter(
            Q(ends_at=None) | Q(ends_at__gt=now)
        ),
        "A second person has still to decide about something.": Approval.objects.filter(
            mine, state=Approval.State.WAITING, expires_at__gt=now
        ).exclude(kind=Approval.Kind.ERASURE),
    }
    return [words for words, rows in reasons.items() if rows.exists()]


@retried
def erase_customer(
    *, actor: audit.Actor, customer: Customer, reason: str, approval: Approval | None = None, again: bool = False
) -> Customer:
    """Forget the customer, and those of its people who act for nobody else. Nothing brings them back.

    One of the staff needs a second person (``ApprovalRequired``). Raises ``InvalidState`` where something stands in the
    way, with all of the ``obstacles``, where the customer was erased before, and where one of its people asks and staff
    may sit behind the account. ``again``, in a restored database (``erasures``), nothing stands in the way, and its
    people are forgotten one by one, if they were.
    """
    _check_second_person(actor, approval)
    _check_own_people(actor, customer, approval)
    with transaction.atomic():
        _stop(actor, customer)
        customer = Customer.objects.select_for_update().select_related("organization").get(pk=customer.pk)
        if customer.erased_at is not None:
            raise InvalidState("This customer was erased before.")
        if not again and (reasons := obstacles(customer)):
            raise InvalidState(" ".join(reasons))
        _forget_money(actor, customer)
        _forget_words(customer)
        _forget_people(actor, customer.organization, themselves=not again)
        customer.name, customer.email, customer.metadata = ERASED, "", {}
        customer.origin_key = None  # From now on the hashes in its events fit no address.
        customer.erased_at = timezone.now()
        customer.save(update_fields=["name", "email", "metadata", "origin_key", "erased_at"])
        audit.record(
            actor=audit.Actor(actor.kind, actor.id, request_id=actor.request_id) if approval is None else actor,
            action="customer.erased",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            after={"reason": reason},
        )
        transaction.on_commit(lambda: wakeups.wake(TASK))
    return customer


@retried
def erase_person(
    *, actor: audit.Actor, user: User, reason: str = "", approval: Approval | None = None, again: bool = False
) -> None:
    """Forget one person. As above for the staff; raises ``InvalidState`` with the reason where it cannot be."""
    _check_second_person(actor, approval)
    with transaction.atomic():
        _forget_person(actor, user, again=again)
        transaction.on_commit(lambda: wakeups.wake(TASK))


def _check_second_person(actor: audit.Actor, approval: Approval | None) -> None:
    """Staff alone erase nobody. A program may do it for its operator, and people for themselves."""
    if approval is None and actor.id and User.objects.filter(pk=actor.id, is_staff=True).exists():
        raise ApprovalRequired("Nobody is erased by one person of the staff alone.", amounts={})


def _check_own_people(actor: audit.Actor, customer: Customer, approval: Approval | None) -> None:
    since = timezone.now() - four_eyes.HANDS_OFF
    asked_by_person = approval is None and actor.kind == AuditEvent.Actor.USER
    if asked_by_person and staff.had_in_hand(customer.organization_id, since=since):
        raise InvalidState("The operator changed who has access within seven days. Ask the operator, or wait.")


def _stop(actor: audit.Actor, customer: Customer) -> None:
    """Be alone with the customer, and let nothing more be charged or recorded."""
    if Wallet.objects.get(customer=customer).frozen_at is None:
        wallets.freeze(actor=actor, customer=customer, reason=ERASED)
    else:
        pipeline.run([locks.balances([customer.pk])])


def _forget_money(actor: audit.Actor, customer: Customer) -> None:
    mine, now = Q(customer=customer), timezone.now()
    for rule in AutoTopUp.objects.filter(mine, enabled=True):
        rules.switch_off(actor=actor, rule=rule)
    for given in RecurringGrant.objects.filter(mine, next_at__isnull=False):
        recurring.cancel(actor=actor, recurring=given, reason=ERASED)
    PaymentMethod.objects.filter(mine).update(brand="", last4="", exp_month=None, exp_year=None)
    PaymentMethod.objects.filter(mine, removed_at=None).update(removed_at=now)
    PaymentAttempt.objects.filter(mine).update(method_brand="", method_last4="")
    PaymentProfile.objects.filter(mine, forget_asked_at=None).update(forget_asked_at=now)
    for endpoint in WebhookEndpoint.objects.filter(mine, deleted_at=None):
        endpoints.remove(actor=actor, endpoint=endpoint)
    WebhookEndpoint.objects.filter(mine).update(url=NOWHERE, description="")
    Budget.objects.filter(mine, removed_at=None).update(removed_at=now)
    Budget.objects.filter(mine).update(name=ERASED, scope={})
    Alert.objects.filter(mine, removed_at=None).update(removed_at=now)
    Customer.objects.filter(pk=customer.pk).update(has_budgets=False)
    ChargeDispute.objects.filter(mine).update(reason=ERASED)
    ChargeDispute.objects.filter(mine).exclude(answer="").update(answer=ERASED)
    TaxProfile.objects.filter(mine).delete()
    Note.objects.filter(mine).delete()
    Notice.objects.filter(mine).delete()
    NoticePreference.objects.filter(mine).delete()
    NoticeTarget.objects.filter(mine).delete()
    told = Q(principal=str(customer.organization_id)) | Q(body__external_id=customer.external_id)
    IdempotencyRecord.objects.filter(told).delete()


def _forget_words(customer: Customer) -> None:
    """What was written, by whomever, beside amounts and times that stay. Nothing of it is in the books' seals."""
    mine = Q(customer=customer)
    Grant.objects.filter(mine).update(name="", metadata={})
    RecurringGrant.objects.filter(mine).update(name="", metadata={})
    Authorization.objects.filter(mine).update(data={}, reason="")
    Refund.objects.filter(mine).update(reason="")
    Collection.objects.filter(mine).update(reason="")
    Wallet.objects.filter(mine).update(frozen_reason=ERASED)
    BudgetCounter.objects.filter(mine).delete()
    SpendAnomaly.objects.filter(mine).delete()
    OutboxEvent.objects.filter(mine, payload__has_any_keys=WORDS).update(payload=_wordless("payload"))
    WebhookDelivery.objects.filter(mine).update(data=_wordless("data"), log=[])
    # A key that was used stays used: its request, sent again, must move nothing.
    answers = IdempotencyRecord.objects.filter(body__customer=customer.external_id)
    answers.update(body=_wordless("body"))


def _wordless(column: str) -> Func:
    """The object in the column without what ``WORDS`` name: empty of the same kind, so that readers find it there."""
    return Func(column, template=_WORDLESS, words=",".join(WORDS), erased=ERASED, output_field=JSONField())


def _forget_people(actor: audit.Actor, organization: Organization, *, themselves: bool) -> None:
    """Forget who acts for the organization, and ``themselves`` where they act for nobody else."""
    team.lock(organization.pk)
    for key in organization.api_keys.filter(revoked_at=None):
        api_keys.revoke(key, actor=actor)
    organization.api_keys.update(name=ERASED, allowed_networks=[])
    members = list(User.objects.filter(memberships__organization=organization))
    IdentityProvider.objects.filter(organization=organization).delete()
    Membership.objects.filter(organization=organization).delete()
    invitations = Invitation.objects.filter(organization=organization)
    OutgoingMail.objects.filter(recipient__in=invitations.values("email")).delete()
    invitations.delete()
    for person in members if themselves else ():
        if not person.is_staff and not person.memberships.exists():
            _forget_person(audit.Actor(actor.kind, actor.id, request_id=actor.request_id), person)
    Organization.objects.filter(pk=organization.pk).update(name=ERASED, allowed_networks=[])
    lines = AuditDetail.objects.filter(line__organization_id=organization.pk)
    people.forget_said(lines)
    staff = User.objects.filter(is_staff=True).values("pk")
    theirs = Q(line__actor_kind=AuditEvent.Actor.USER) & ~Q(line__actor_id__in=staff)
    people.forget_who(lines.filter(theirs | Q(line__actor_id__in=organization.api_keys.values("pk"))))


def _forget_person(actor: audit.Actor, user: User, *, again: bool = False) -> None:
    NoticeDelivery.objects.filter(user=user).delete()
    NoticePreference.objects.filter(user=user).delete()
    NoticeTarget.objects.filter(user=user).delete()
    try:
        people.erase_person(actor=actor, user=user, again=again)
    except people.Refused as refusal:
        raise InvalidState(str(refusal)) from None


def settle_due() -> int:
    """Ask the payment provider to forget those who were erased. Returns how many it forgot; the others come again.

    Whoever was asked about longest ago is first, so that those who are refused keep nobody waiting. Profiles of another
    mode wait until it is in force: ``selectors.waiting.unforgotten`` has whoever waits for long.
    """
    if not profiles.payable():
        return 0
    gateway, forgotten = profiles.payments(), 0
    due = PaymentProfile.objects.filter(mode=gateway.mode, forget_asked_at__isnull=False, forgotten_at=None)
    longest_ago = F("forget_tried_at").asc(nulls_first=True), "forget_asked_at", "pk"
    for profile in for_a_while(list(due.order_by(*longest_ago)[:FORGET_BATCH])):
        PaymentProfile.objects.filter(pk=profile.pk).update(forget_tried_at=timezone.now())
        try:
            gateway.forget_customer(profile.provider_id)
        except Unreachable as trouble:
            logger.warning("The provider could not be asked to forget %s: %s", profile.pk, trouble)
            continue
        except Refused as refusal:
            logger.warning("The provider does not forget %s: %s", profile.pk, refusal)
            if refusal.code != "resource_missing":
                continue
        PaymentProfile.objects.filter(pk=profile.pk).update(forgotten_at=timezone.now())
        forgotten += 1
    return forgotten


def forget_old() -> dict[str, int]:
    """Forget what is kept for a while only, by the settings: people's part, and stored answers to requests."""
    found = people.forget_old()
    since = timezone.now() - timedelta(days=settings.IDEMPOTENCY_DAYS)
    found["answers"] = IdempotencyRecord.objects.filter(created_at__lt=since).delete()[0]
    return found
