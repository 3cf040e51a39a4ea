-- A plan version is published whole: its prices, their tiers and its allowances come in the transaction of the version
-- itself, and nothing is added to it afterwards.

CREATE FUNCTION ante_refuse_late_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added JOIN billing_planversion version ON version.id = added.plan_version_id
         WHERE version.written_in <> pg_current_xact_id()::text::bigint
    ) THEN
        RAISE EXCEPTION 'a published plan version is never added to'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'billing_planversion_whole';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER price_with_its_version AFTER INSERT ON billing_price
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_late_price();
CREATE TRIGGER allowance_with_its_version AFTER INSERT ON billing_allowance
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_late_price();

CREATE FUNCTION ante_refuse_late_tier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added
          JOIN billing_price price ON price.id = added.price_id
          JOIN billing_planversion version ON version.id = price.plan_version_id
         WHERE version.written_in <> pg_current_xact_id()::text::bigint
    ) THEN
        RAISE EXCEPTION 'a published plan version is never added to'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'billing_planversion_whole';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tier_with_its_version AFTER INSERT ON billing_tier
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_late_tier();
