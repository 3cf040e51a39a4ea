-- A case that was decided stays decided, and none is removed. Its texts may be erased. Guards only.
CREATE FUNCTION ante_guard_charge_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'charge dispute %: no case is removed', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.customer_id <> OLD.customer_id OR (OLD.status <> 'open' AND NEW.status <> OLD.status) THEN
        RAISE EXCEPTION 'charge dispute %: what was decided stays', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER charge_dispute_decided_once BEFORE UPDATE OR DELETE ON billing_chargedispute
    FOR EACH ROW EXECUTE FUNCTION ante_guard_charge_dispute();
