DROP TRIGGER tier_staircase ON billing_tier;
DROP FUNCTION ante_check_tiers();
DROP TRIGGER meter_no_truncate ON billing_meter;
DROP TRIGGER meter_append_only ON billing_meter;
DROP TRIGGER tier_no_truncate ON billing_tier;
DROP TRIGGER tier_append_only ON billing_tier;
