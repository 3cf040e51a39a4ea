DROP TRIGGER correction_no_truncate ON billing_correction;
DROP TRIGGER correction_append_only ON billing_correction;
