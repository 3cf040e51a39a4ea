DROP TRIGGER obligation_no_truncate ON billing_obligation;
DROP TRIGGER obligation_append_only ON billing_obligation;
DROP TRIGGER revenue_total_no_truncate ON billing_revenuetotal;
DROP TRIGGER revenue_total_append_only ON billing_revenuetotal;
DROP TRIGGER recognition_no_truncate ON billing_recognition;
DROP TRIGGER recognition_append_only ON billing_recognition;
DROP TRIGGER revenue_day_states ON billing_revenueday;
DROP FUNCTION ante_guard_revenue_day();
