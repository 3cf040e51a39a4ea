-- What is asked of a payer never changes, and the states of money follow their machines: nothing leaves "succeeded", and
-- what has ended otherwise can only turn out to be paid after all. Guards only: they never compute anything.
CREATE FUNCTION ante_guard_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% %: rows of money are never removed', TG_TABLE_NAME, OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.customer_id, NEW.amount, NEW.currency_id)
       IS DISTINCT FROM (OLD.id, OLD.customer_id, OLD.amount, OLD.currency_id) THEN
        RAISE EXCEPTION '% %: whose it is and how much never changes', TG_TABLE_NAME, OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT (OLD.status || '>' || NEW.status) = ANY (TG_ARGV) THEN
        RAISE EXCEPTION '% %: from % to % is refused', TG_TABLE_NAME, OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER payment_attempt_states BEFORE UPDATE OR DELETE ON billing_paymentattempt
    FOR EACH ROW EXECUTE FUNCTION ante_guard_payment(
        'created>sent', 'created>failed', 'created>canceled',
        'sent>unknown', 'sent>requires_action', 'sent>processing', 'sent>succeeded', 'sent>failed', 'sent>canceled',
        'sent>expired',
        'unknown>requires_action', 'unknown>processing', 'unknown>succeeded', 'unknown>failed', 'unknown>canceled',
        'unknown>expired',
        'requires_action>processing', 'requires_action>succeeded', 'requires_action>failed',
        'requires_action>canceled', 'requires_action>expired',
        'processing>requires_action', 'processing>succeeded', 'processing>failed', 'processing>canceled',
        'failed>succeeded', 'canceled>succeeded', 'expired>succeeded');

CREATE TRIGGER top_up_states BEFORE UPDATE OR DELETE ON billing_topup
    FOR EACH ROW EXECUTE FUNCTION ante_guard_payment(
        'requires_action>processing', 'requires_action>succeeded', 'requires_action>failed',
        'requires_action>canceled', 'requires_action>expired',
        'processing>requires_action', 'processing>succeeded', 'processing>failed', 'processing>canceled',
        'processing>expired',
        'failed>succeeded', 'canceled>succeeded', 'expired>succeeded');

CREATE TRIGGER refund_states BEFORE UPDATE OR DELETE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION ante_guard_payment(
        'created>sent', 'created>failed',
        'sent>unknown', 'sent>processing', 'sent>succeeded', 'sent>failed',
        'unknown>processing', 'unknown>succeeded', 'unknown>failed',
        'processing>succeeded', 'processing>failed', 'succeeded>failed');
