"""What a dispute is about may become another amount, as its provider says; what is asked of a payer still never does."""

from django.db import migrations

_FUNCTION = """
CREATE OR REPLACE FUNCTION ante_guard_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% %: rows of money are never removed', TG_TABLE_NAME, OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.customer_id, NEW.currency_id) IS DISTINCT FROM (OLD.id, OLD.customer_id, OLD.currency_id)
       OR ({amounts}) THEN
        RAISE EXCEPTION '% %: whose it is and how much never changes', TG_TABLE_NAME, OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT (OLD.status || '>' || NEW.status) = ANY (TG_ARGV) THEN
        RAISE EXCEPTION '% %: from % to % is refused', TG_TABLE_NAME, OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""
_ANY = "NEW.amount <> OLD.amount"
_BUT_DISPUTES = f"{_ANY} AND TG_TABLE_NAME <> 'billing_dispute'"


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_known_currencies")]

    operations = [migrations.RunSQL(_FUNCTION.format(amounts=_BUT_DISPUTES), _FUNCTION.format(amounts=_ANY))]
