-- Taxes on invoices stay as they were put on paper.

CREATE TRIGGER invoice_tax_append_only BEFORE UPDATE OR DELETE ON billing_invoicetax
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER invoice_tax_no_truncate BEFORE TRUNCATE ON billing_invoicetax
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
