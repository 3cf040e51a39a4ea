-- A price's tiers are published with it and never change; what a meter counts never changes once it exists.

CREATE TRIGGER tier_append_only BEFORE UPDATE OR DELETE ON billing_tier
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER tier_no_truncate BEFORE TRUNCATE ON billing_tier
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER meter_append_only BEFORE UPDATE OR DELETE ON billing_meter
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER meter_no_truncate BEFORE TRUNCATE ON billing_meter
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE FUNCTION ante_check_tiers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1
          FROM (SELECT number, up_to,
                       row_number() OVER tiers AS expected,
                       lag(up_to, 1, 0) OVER tiers AS before,
                       lead(number) OVER tiers AS following
                  FROM billing_tier
                 WHERE price_id IN (SELECT price_id FROM added)
                WINDOW tiers AS (PARTITION BY price_id ORDER BY number)) t
         WHERE number <> expected OR before IS NULL OR up_to <= before
            OR (up_to IS NULL) <> (following IS NULL)
    ) THEN
        RAISE EXCEPTION 'the tiers of a price ascend without gaps, and the last one is open'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'billing_tier_staircase';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tier_staircase AFTER INSERT ON billing_tier
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ante_check_tiers();
