-- What was put on paper stays as it is: what changes later is on a further one.

CREATE TRIGGER invoice_append_only BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER invoice_no_truncate BEFORE TRUNCATE ON billing_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER invoice_line_append_only BEFORE UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER invoice_line_no_truncate BEFORE TRUNCATE ON billing_invoiceline
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
