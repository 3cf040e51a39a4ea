-- The books, the facts they rest on and the published prices never change. ante_refuse_change comes with accounts.

CREATE TRIGGER ledger_transaction_append_only BEFORE UPDATE OR DELETE ON billing_ledgertransaction
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER ledger_transaction_no_truncate BEFORE TRUNCATE ON billing_ledgertransaction
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER ledger_entry_no_truncate BEFORE TRUNCATE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON billing_usageevent
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER usage_event_no_truncate BEFORE TRUNCATE ON billing_usageevent
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER charge_append_only BEFORE UPDATE OR DELETE ON billing_charge
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER charge_no_truncate BEFORE TRUNCATE ON billing_charge
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER plan_version_append_only BEFORE UPDATE OR DELETE ON billing_planversion
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER plan_version_no_truncate BEFORE TRUNCATE ON billing_planversion
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER price_append_only BEFORE UPDATE OR DELETE ON billing_price
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER price_no_truncate BEFORE TRUNCATE ON billing_price
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

-- Rows that are updated on every charge keep room on their page, so that an update stays on it and touches no index.
ALTER TABLE billing_balance SET (fillfactor = 70);
ALTER TABLE billing_grant SET (fillfactor = 70);
ALTER TABLE billing_usagecounter SET (fillfactor = 70);
