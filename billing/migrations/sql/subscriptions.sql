-- What a published plan includes never changes.

CREATE TRIGGER allowance_append_only BEFORE UPDATE OR DELETE ON billing_allowance
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER allowance_no_truncate BEFORE TRUNCATE ON billing_allowance
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
