-- How much a published plan lets a period have never changes, and nothing is added to it later.

CREATE TRIGGER fairuse_append_only BEFORE UPDATE OR DELETE ON billing_fairuse
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER fairuse_no_truncate BEFORE TRUNCATE ON billing_fairuse
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER fairuse_with_its_version AFTER INSERT ON billing_fairuse
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_late_price();
ALTER TABLE billing_fairusecounter SET (fillfactor = 70);
