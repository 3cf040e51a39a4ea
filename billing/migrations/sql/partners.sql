-- What partners were accrued and paid stays as it was.

CREATE TRIGGER partner_accrual_append_only BEFORE UPDATE OR DELETE ON billing_partneraccrual
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER partner_accrual_no_truncate BEFORE TRUNCATE ON billing_partneraccrual
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER partner_payout_append_only BEFORE UPDATE OR DELETE ON billing_partnerpayout
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER partner_payout_no_truncate BEFORE TRUNCATE ON billing_partnerpayout
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
