-- What was noted for an invoice stays.

CREATE TRIGGER invoice_payment_append_only BEFORE UPDATE OR DELETE ON billing_invoicepayment
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER invoice_payment_no_truncate BEFORE TRUNCATE ON billing_invoicepayment
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
