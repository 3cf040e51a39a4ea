-- Whose payment is disputed, and how much of it, never changes; no dispute is removed. What it is follows the provider,
-- which may go back on what it said, but never to before there was more than a question.
CREATE TRIGGER dispute_states BEFORE UPDATE OR DELETE ON billing_dispute
    FOR EACH ROW EXECUTE FUNCTION ante_guard_payment(
        'inquiry>open', 'inquiry>under_review', 'inquiry>won', 'inquiry>lost', 'inquiry>closed',
        'open>under_review', 'open>won', 'open>lost', 'open>closed',
        'under_review>open', 'under_review>won', 'under_review>lost', 'under_review>closed',
        'won>open', 'won>under_review', 'won>lost', 'won>closed',
        'lost>open', 'lost>under_review', 'lost>won', 'lost>closed',
        'closed>open', 'closed>under_review', 'closed>won', 'closed>lost');
