-- What a published plan includes never changes.

CREATE TRIGGER allowance_append_only BEFORE UPDATE OR DELETE ON billing_allowance
    FOR EACH ROW EXECUTE FUNCTION ante_refuse_change();
CREATE TRIGGER allowance_no_truncate BEFORE TRUNCATE ON billing_allowance
    FOR EACH STATEMENT EXECUTE FUNCTION ante_refuse_change();

-- Subscriptions from before had no periods: theirs are counted as they always were, and opened by the next sweep.

UPDATE billing_subscription s
   SET anchor = s.starts_at, settled_until = s.starts_at, renews_at = s.starts_at, timezone = c.timezone
  FROM billing_customer c
 WHERE c.id = s.customer_id;

INSERT INTO billing_subscriptionphase (id, customer_id, subscription_id, plan_version_id, anchor, starts_at, ends_at)
SELECT gen_random_uuid(), customer_id, id, plan_version_id, starts_at, starts_at, NULL
  FROM billing_subscription;
