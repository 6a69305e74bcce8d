-- Credit notes: issued documents, byte for byte as they were recorded. They never change.

CREATE TABLE credit_notes (
    tenant_id text NOT NULL,
    id text NOT NULL,
    invoice_id text NOT NULL,
    number text NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL CHECK (total_minor > 0),
    issue_date date NOT NULL,
    issued_at timestamptz NOT NULL,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number)
);
CREATE INDEX credit_notes_invoice ON credit_notes (tenant_id, invoice_id);
-- For keys that are bound to no tenant.
CREATE INDEX credit_notes_id ON credit_notes (id);
CREATE TRIGGER issued_is_final BEFORE UPDATE ON credit_notes FOR EACH ROW EXECUTE FUNCTION talea_refuse_change();

ALTER TABLE credit_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE credit_notes FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON credit_notes TO talea_owner USING (true) WITH CHECK (true);
CREATE POLICY operator_reads ON credit_notes FOR SELECT TO talea_operator USING (true);
CREATE POLICY tenant_only ON credit_notes TO talea_app USING (tenant_id = (SELECT talea_tenant()))
    WITH CHECK (tenant_id = (SELECT talea_tenant()));
CREATE POLICY worker_all ON credit_notes TO talea_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON credit_notes TO talea_app, talea_worker;
GRANT SELECT ON credit_notes TO talea_operator;
