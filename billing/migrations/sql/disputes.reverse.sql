DROP TRIGGER dispute_states ON billing_dispute;
