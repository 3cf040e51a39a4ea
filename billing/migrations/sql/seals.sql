-- What was sealed stays sealed. Its rows are lists of random bytes: looking for what can be compressed finds nothing.

CREATE TRIGGER seal_append_only BEFORE UPDATE OR DELETE ON billing_seal
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER seal_no_truncate BEFORE TRUNCATE ON billing_seal
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

ALTER TABLE billing_seal ALTER COLUMN row_ids SET STORAGE EXTERNAL, ALTER COLUMN checks SET STORAGE EXTERNAL;
