-- What was asked for never changes, and a decision is final. Guards only: they never compute anything.
CREATE FUNCTION ante_guard_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'waiting' THEN
        RAISE EXCEPTION 'approval %: what was decided stays', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - ARRAY['state', 'decided_by_id', 'decided_at', 'note']
       IS DISTINCT FROM to_jsonb(OLD) - ARRAY['state', 'decided_by_id', 'decided_at', 'note'] THEN
        RAISE EXCEPTION 'approval %: what was asked for never changes', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER approval_decided_once BEFORE UPDATE OR DELETE ON billing_approval
    FOR EACH ROW EXECUTE FUNCTION ante_guard_approval();

CREATE TRIGGER manual_movement_append_only BEFORE UPDATE OR DELETE ON billing_manualmovement
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER manual_movement_no_truncate BEFORE TRUNCATE ON billing_manualmovement
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
