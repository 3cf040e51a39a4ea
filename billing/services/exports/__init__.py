"""Files for the operator's own books and warehouse: planned in the database, made from it, delivered by a worker."""

from billing.services.exports.delivering import deliver_due, retry
from billing.services.exports.making import JOURNAL_FORMATS, journal
from billing.services.exports.planning import plan_journals, plan_warehouse

__all__ = ["JOURNAL_FORMATS", "deliver_due", "journal", "plan_journals", "plan_warehouse", "retry"]
