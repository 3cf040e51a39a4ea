-- A day of the books goes from open to closing to closed, one way, and what is closed never changes. A guard only.
CREATE FUNCTION ante_guard_revenue_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'The day % is never removed', OLD.date USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.date, NEW.version, NEW."start", NEW."end", NEW.zone)
       IS DISTINCT FROM (OLD.id, OLD.date, OLD.version, OLD."start", OLD."end", OLD.zone) THEN
        RAISE EXCEPTION 'Which day % is never changes', OLD.date USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'closed' OR (OLD.state || '>' || NEW.state)
       NOT IN ('open>open', 'open>closing', 'closing>closing', 'closing>closed') THEN
        RAISE EXCEPTION 'The day %: from % to % is refused', OLD.date, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER revenue_day_states BEFORE UPDATE OR DELETE ON billing_revenueday
    FOR EACH ROW EXECUTE FUNCTION ante_guard_revenue_day();

CREATE TRIGGER recognition_append_only BEFORE UPDATE OR DELETE ON billing_recognition
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER recognition_no_truncate BEFORE TRUNCATE ON billing_recognition
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER revenue_total_append_only BEFORE UPDATE OR DELETE ON billing_revenuetotal
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER revenue_total_no_truncate BEFORE TRUNCATE ON billing_revenuetotal
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

CREATE TRIGGER obligation_append_only BEFORE UPDATE OR DELETE ON billing_obligation
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER obligation_no_truncate BEFORE TRUNCATE ON billing_obligation
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();
