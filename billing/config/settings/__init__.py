"""Settings, all from the environment. Unset means a safe default for one's own machine; see ``docs/operations.md``."""

from billing.config.settings.browser import *  # noqa: F403
from billing.config.settings.environment import *  # noqa: F403
from billing.config.settings.framework import *  # noqa: F403
from billing.config.settings.money import *  # noqa: F403
from billing.config.settings.payments import *  # noqa: F403
from billing.config.settings.people import *  # noqa: F403
from billing.config.settings.tasks import *  # noqa: F403
