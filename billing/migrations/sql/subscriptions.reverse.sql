DROP TRIGGER allowance_no_truncate ON billing_allowance;
DROP TRIGGER allowance_append_only ON billing_allowance;
