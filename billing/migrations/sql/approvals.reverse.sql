DROP TRIGGER manual_movement_no_truncate ON billing_manualmovement;
DROP TRIGGER manual_movement_append_only ON billing_manualmovement;
DROP TRIGGER approval_decided_once ON billing_approval;
DROP FUNCTION ante_guard_approval();
