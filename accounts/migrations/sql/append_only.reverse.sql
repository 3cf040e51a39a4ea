DROP TRIGGER audit_no_truncate ON accounts_auditevent;
DROP TRIGGER audit_append_only ON accounts_auditevent;
DROP FUNCTION ante_refuse_change();
