DROP TRIGGER refund_states ON billing_refund;
DROP TRIGGER top_up_states ON billing_topup;
DROP TRIGGER payment_attempt_states ON billing_paymentattempt;
DROP FUNCTION ante_guard_payment();
