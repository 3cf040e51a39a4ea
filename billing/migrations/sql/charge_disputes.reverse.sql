DROP TRIGGER charge_dispute_decided_once ON billing_chargedispute;
DROP FUNCTION ante_guard_charge_dispute();
