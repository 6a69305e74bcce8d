-- One-off charges, a projection of the journal: what waits for an invoice, and what became of it. An invoice of charges alone
-- belongs to no subscription.

CREATE TABLE charges (
    tenant_id text NOT NULL,
    id text NOT NULL,
    subscription_id text,                                -- NULL where any invoice of the tenant will do
    currency text NOT NULL,
    stage text NOT NULL,
    invoice_id text,                                     -- on which it stands
    document text NOT NULL,
    version bigint NOT NULL,                             -- of its stream
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX charges_pending ON charges (tenant_id) WHERE stage = 'pending';

ALTER TABLE charges ENABLE ROW LEVEL SECURITY;
ALTER TABLE charges FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON charges TO talea_owner USING (true) WITH CHECK (true);
CREATE POLICY operator_reads ON charges FOR SELECT TO talea_operator USING (true);
CREATE POLICY tenant_only ON charges TO talea_app USING (tenant_id = (SELECT talea_tenant()))
    WITH CHECK (tenant_id = (SELECT talea_tenant()));
CREATE POLICY worker_all ON charges TO talea_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON charges TO talea_app, talea_worker;
GRANT SELECT ON charges TO talea_operator;

ALTER TABLE invoices ALTER COLUMN subscription_id DROP NOT NULL;
