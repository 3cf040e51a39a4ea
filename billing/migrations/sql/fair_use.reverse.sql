ALTER TABLE billing_fairusecounter RESET (fillfactor);
DROP TRIGGER fairuse_with_its_version ON billing_fairuse;
DROP TRIGGER fairuse_no_truncate ON billing_fairuse;
DROP TRIGGER fairuse_append_only ON billing_fairuse;
