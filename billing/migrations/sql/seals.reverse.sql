ALTER TABLE billing_seal ALTER COLUMN row_ids SET STORAGE EXTENDED, ALTER COLUMN checks SET STORAGE EXTENDED;
DROP TRIGGER seal_no_truncate ON billing_seal;
DROP TRIGGER seal_append_only ON billing_seal;
