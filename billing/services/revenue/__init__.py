"""Days of the books: closing them, reopening one, and the chart of accounts that their files are written in."""

from billing.services.revenue.closing import close, close_due, waiting
from billing.services.revenue.reopening import approve, reopen

__all__ = ["approve", "close", "close_due", "reopen", "waiting"]
