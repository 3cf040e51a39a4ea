DROP TRIGGER invoice_line_no_truncate ON billing_invoiceline;
DROP TRIGGER invoice_line_append_only ON billing_invoiceline;
DROP TRIGGER invoice_no_truncate ON billing_invoice;
DROP TRIGGER invoice_append_only ON billing_invoice;
