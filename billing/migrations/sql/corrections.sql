-- What an operator decided about a charge is as final as the charge.

CREATE TRIGGER correction_append_only BEFORE UPDATE OR DELETE ON billing_correction
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER correction_no_truncate BEFORE TRUNCATE ON billing_correction
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
