"""Short messages to people: SMS, Slack, Teams and Discord, through Apprise.

What a customer enters never becomes an address that we call: of a webhook's URL only its tokens are kept, each of a
fixed form, and the notifier of that service builds the address anew. A telephone number is handed to the operator's own
gateway. No redirect is followed.
"""

import logging
import re
from typing import Any

from django.conf import settings

_SLACK = re.compile(r"https://hooks\.slack\.com/services/(T[A-Z0-9]{1,20})/(B[A-Z0-9]{1,20})/([A-Za-z0-9]{8,64})\Z")
_DISCORD = re.compile(r"https://discord\.com/api/webhooks/([0-9]{15,22})/([A-Za-z0-9_-]{40,100})\Z")
# The host is under Microsoft's own names, where nobody else can let one lead to another network.
_TEAMS = re.compile(
    r"https://([a-z0-9][a-z0-9.-]{0,150}\.(?:logic\.azure\.com|api\.powerplatform\.com))(?::443)?"
    r"(/powerautomate/automations/direct)?/workflows/([A-Za-z0-9_-]{8,64})/triggers/manual/paths/invoke/?"
    r"\?(?:[A-Za-z0-9_.%/-]+=[A-Za-z0-9_.%/-]*&)*sig=([A-Za-z0-9_-]{20,100})(?:&[A-Za-z0-9_.%/=&-]*)?\Z"
)
_PHONE = re.compile(r"\+[1-9][0-9]{7,14}\Z")
_FORMS = {
    "sms": (_PHONE, "A telephone number with its country is needed, such as +15551234567."),
    "slack": (_SLACK, "A Slack webhook is needed: https://hooks.slack.com/services/T…/B…/…"),
    "teams": (_TEAMS, "A workflow of Teams is needed: https://….api.powerplatform.com/…/workflows/…/triggers/…"),
    "discord": (_DISCORD, "A Discord webhook is needed: https://discord.com/api/webhooks/…/…"),
}
CHANNELS = tuple(_FORMS)
_SAID = re.compile(r"error=(\d{3,6})")


class Refused(Exception):
    """This cannot be sent to. The text says what is needed, in words for whoever entered it."""


class NotSent(Exception):
    """The other side did not take it. The text has what it answered, and no address."""


def offered() -> list[str]:
    """The channels that people can choose: SMS only where the operator has a gateway."""
    return [channel for channel in CHANNELS if channel != "sms" or settings.SMS_URL]


def check(channel: str, address: str) -> str:
    """The address as it is kept, without spaces around it. Raises ``Refused``."""
    form, needed = _FORMS[channel]
    text = address.strip()
    if channel == "sms":
        text = re.sub(r"[ ().-]", "", text)
    if not form.match(text):
        raise Refused(needed)
    return text


def shown(channel: str, address: str) -> str:
    """Enough of it to be recognised, and not enough to be used."""
    if channel == "sms":
        return f"{address[:3]}…{address[-3:]}"
    return f"…{address.partition('&')[0][-4:]}" if channel == "teams" else f"…{address[-4:]}"


def send(channel: str, address: str, *, title: str, text: str) -> None:
    """Send to a person. Raises ``NotSent``."""
    _send(_notifier(channel, address), title, text)


def send_to_operator(*, title: str, text: str) -> None:
    """Send to where ``OPERATOR_NOTIFY_URL`` says, any URL of Apprise. Raises ``NotSent``."""
    _send(_own(settings.OPERATOR_NOTIFY_URL), title, text)


def _notifier(channel: str, address: str) -> Any:
    match = _FORMS[channel][0].match(address)
    if match is None:
        raise NotSent("What is kept is no address.")
    if channel == "sms":
        base, _, query = settings.SMS_URL.partition("?")
        return _own(f"{base.rstrip('/')}/{address}" + (f"?{query}" if query else ""))
    if channel == "slack":
        from apprise.plugins.slack import NotifySlack

        tokens = dict(zip(("token_a", "token_b", "token_c"), match.groups(), strict=True))
        return NotifySlack(**tokens, include_image=False, asset=_asset())  # type: ignore[no-untyped-call]
    if channel == "discord":
        from apprise.plugins.discord import NotifyDiscord

        return NotifyDiscord(webhook_id=match[1], webhook_token=match[2], avatar=False, asset=_asset())
    from apprise.plugins.workflows import NotifyWorkflows

    host, power_automate, workflow, signature = match.groups()
    return NotifyWorkflows(  # type: ignore[no-untyped-call]
        workflow=workflow,
        signature=signature,
        power_automate=bool(power_automate),
        include_image=False,
        host=host,
        port=443,
        secure=True,
        asset=_asset(),
    )


def _own(url: str) -> Any:
    """A notifier of the operator's, from the settings."""
    from apprise import Apprise

    found = Apprise.instantiate(url, asset=_asset(), suppress_exceptions=True) if url else None
    if found is None:
        raise NotSent("The operator's settings name no gateway that there is.")
    return found


def _asset() -> Any:
    from apprise import AppriseAsset

    return AppriseAsset(http_redirects=False, app_id="Ante", app_desc="Ante", app_url=settings.BASE_URL)


def _send(notifier: Any, title: str, text: str) -> None:
    heard = _Heard()
    log = logging.getLogger("apprise")
    log.addHandler(heard)
    try:
        sent = notifier.notify(body=text, title=title)
    except Exception as error:
        raise NotSent(type(error).__name__) from error
    finally:
        log.removeHandler(heard)
    if not sent:
        raise NotSent(heard.said)


class _Heard(logging.Handler):
    """What the notifier says of why it failed: the other side's code alone, for the rest may hold the address."""

    said = "It was not taken."

    def emit(self, record: logging.LogRecord) -> None:
        code = _SAID.search(record.getMessage())
        if code is not None:
            self.said = f"It was not taken: {code[1]}."
