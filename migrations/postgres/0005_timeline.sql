-- Subscriptions that change: which changes are billed, and when each is due next.

-- How many of its changes were known when its last bill moment was closed: what they change about earlier periods is billed.
ALTER TABLE subscriptions ADD COLUMN billed_changes integer NOT NULL DEFAULT 0;

-- The earliest instant at which its next bill moment can be; NULL when everything is billed. The projection keeps it. What is there
-- already is looked at once, and has its own from then on.
ALTER TABLE subscriptions ADD COLUMN due_from timestamptz;
UPDATE subscriptions SET due_from = starts_at WHERE ends_at IS NULL OR billed_until IS NULL OR billed_until < ends_at;
CREATE INDEX subscriptions_due ON subscriptions (due_from, tenant_id, id) WHERE due_from IS NOT NULL;
