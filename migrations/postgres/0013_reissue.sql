-- Voids that say what becomes of what was billed; what wallets paid, beside money; dunning that begins anew.

ALTER TABLE invoice_states
    ADD COLUMN prepaid_minor bigint NOT NULL DEFAULT 0 CHECK (prepaid_minor >= 0),   -- of paid_minor, by prepaid credits
    ADD COLUMN round integer NOT NULL DEFAULT 0,         -- how often it was settled and became open again
    -- What becomes of what a voided invoice billed. NULL before it is voided, and for voids from before this was asked: those
    -- lines count as not billed and are billed with what rates their periods anew.
    ADD COLUMN voided text CHECK (voided IN ('owed', 'reissued', 'forgiven'));
UPDATE invoice_states s SET prepaid_minor = i.total_minor - (i.document::json -> 'amount_due' ->> 'amount_minor')::bigint
    FROM invoices i WHERE i.tenant_id = s.tenant_id AND i.id = s.invoice_id AND s.stage <> 'voided'
        AND i.document::json -> 'amount_due' ->> 'amount_minor' IS NOT NULL;
-- What the next billing run issues anew.
CREATE INDEX invoice_states_owed_again ON invoice_states (tenant_id, invoice_id) WHERE voided = 'owed';

-- A step is reached once in each round; it suspends from when it was recorded on.
ALTER TABLE dunning_steps ADD COLUMN round integer NOT NULL DEFAULT 0, ADD COLUMN recorded_at timestamptz;
UPDATE dunning_steps d SET recorded_at = j.recorded_at FROM journal j
    WHERE j.tenant_id = d.tenant_id AND j.position = d.position;
UPDATE dunning_steps SET recorded_at = reached_at WHERE recorded_at IS NULL;
ALTER TABLE dunning_steps ALTER COLUMN recorded_at SET NOT NULL;
ALTER TABLE dunning_steps DROP CONSTRAINT dunning_steps_pkey, ADD PRIMARY KEY (tenant_id, invoice_id, step, round);

-- How many issued documents stand behind a redemption: one that has none left is used no more. What was merged before counts
-- as one document.
ALTER TABLE coupon_redemptions ADD COLUMN documents integer NOT NULL DEFAULT 1;
