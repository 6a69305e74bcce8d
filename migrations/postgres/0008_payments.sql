-- What became of issued invoices: their state, payments, the tenants' open credit, dunning, and own terms of payment. All
-- of it follows from the journal alone. The issued document is elsewhere and never changes.

CREATE TABLE invoice_states (
    tenant_id text NOT NULL,
    invoice_id text NOT NULL,
    stage text NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL,
    paid_minor bigint NOT NULL,
    credited_minor bigint NOT NULL,
    open_minor bigint NOT NULL CHECK (open_minor >= 0),
    due_date date,
    zone text NOT NULL,
    open_since timestamptz NOT NULL,
    position bigint NOT NULL,                            -- of the last decision about it
    PRIMARY KEY (tenant_id, invoice_id),
    CHECK (stage = 'voided' OR open_minor + paid_minor + credited_minor = total_minor)
);
CREATE INDEX invoice_states_asked_for ON invoice_states (due_date) WHERE stage IN ('finalized', 'partially_paid');

CREATE TABLE payments (
    tenant_id text NOT NULL,
    invoice_id text NOT NULL,
    reference text NOT NULL,                             -- unique among the payments of an invoice
    source text NOT NULL CHECK (source IN ('external', 'open_credit')),
    currency text NOT NULL,
    amount_minor bigint NOT NULL,
    applied_minor bigint NOT NULL,                       -- the rest became open credit
    received_at timestamptz NOT NULL,
    method text,
    reversed_at timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, reference)
);

-- What a tenant has paid, or was credited, beyond what it owed. The balance is the sum.
CREATE TABLE open_credit_entries (
    tenant_id text NOT NULL,
    position bigint NOT NULL,                            -- of the decision that made the entry
    currency text NOT NULL,
    amount_minor bigint NOT NULL,
    cause text NOT NULL,
    invoice_id text,
    reference text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, position)
);

CREATE TABLE dunning_steps (
    tenant_id text NOT NULL,
    invoice_id text NOT NULL,
    step text NOT NULL,
    action text NOT NULL CHECK (action IN ('notify', 'suspend')),
    after_days integer NOT NULL,
    currency text NOT NULL,
    open_minor bigint NOT NULL,
    due_date date NOT NULL,
    reached_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, step)
);

-- A tenant's own terms of payment.
CREATE TABLE billing_terms (
    tenant_id text PRIMARY KEY,
    document text NOT NULL,
    position bigint NOT NULL
);

-- Invoices that were issued before this: nothing is known to be paid.
-- But what prepaid credits paid is.
INSERT INTO invoice_states
SELECT tenant_id, id, CASE WHEN due = 0 THEN 'paid' WHEN due = total_minor THEN 'finalized' ELSE 'partially_paid' END, currency,
    total_minor, total_minor - due, 0, due, due_date, document::json ->> 'zone', finalized_at, position
FROM (SELECT *, CASE WHEN total_minor <= 0 THEN 0 ELSE
        coalesce((document::json -> 'amount_due' ->> 'amount_minor')::bigint, total_minor) END AS due
    FROM invoices WHERE status = 'finalized') issued;
INSERT INTO open_credit_entries
SELECT i.tenant_id, i.position, i.currency, -i.total_minor, 'credit_invoice', i.id, i.number, j.recorded_at
FROM invoices i JOIN journal j ON j.tenant_id = i.tenant_id AND j.position = i.position
WHERE i.status = 'finalized' AND i.total_minor < 0;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['invoice_states', 'payments', 'open_credit_entries', 'dunning_steps', 'billing_terms'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO talea_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY operator_reads ON %I FOR SELECT TO talea_operator USING (true)', name);
        EXECUTE format('CREATE POLICY tenant_only ON %I TO talea_app USING (tenant_id = (SELECT talea_tenant()))
            WITH CHECK (tenant_id = (SELECT talea_tenant()))', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO talea_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO talea_app, talea_worker', name);
        EXECUTE format('GRANT SELECT ON %I TO talea_operator', name);
    END LOOP;
END $$;
GRANT UPDATE ON invoice_states, payments, billing_terms TO talea_app, talea_worker;
