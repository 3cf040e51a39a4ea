DROP TRIGGER price_with_its_version ON billing_price;
DROP TRIGGER allowance_with_its_version ON billing_allowance;
DROP TRIGGER tier_with_its_version ON billing_tier;
DROP FUNCTION ante_refuse_late_price();
DROP FUNCTION ante_refuse_late_tier();
