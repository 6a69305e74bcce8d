-- Prepaid credits: wallets, the grants in them, orders for more, and the ledger of every movement. All of them are
-- projections of the journal.

CREATE TABLE wallets (
    tenant_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    unit text NOT NULL,                                  -- a currency's code, or the name of the wallet's own unit
    transactions bigint NOT NULL,                        -- the number of its last movement
    document text NOT NULL,                              -- as it stands, without its grants
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
-- For keys that are bound to no tenant, which name a wallet by its id alone.
CREATE INDEX wallets_id ON wallets (id);

CREATE TABLE credit_grants (
    tenant_id text NOT NULL,
    wallet_id text NOT NULL,
    id text NOT NULL,
    place integer NOT NULL,                              -- in the order in which they were granted
    remaining_millionths bigint NOT NULL CHECK (remaining_millionths >= 0),
    expires_at timestamptz,
    document text NOT NULL,                              -- as it stands
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, wallet_id, id)
);
-- What may expire.
CREATE INDEX credit_grants_expires_at ON credit_grants (expires_at) WHERE remaining_millionths > 0;

CREATE TABLE credit_orders (
    tenant_id text NOT NULL,
    wallet_id text NOT NULL,
    id text NOT NULL,
    answered_by text,                                    -- the grant that answered it; NULL while it is open
    ordered_at timestamptz NOT NULL,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, wallet_id, id)
);

-- One row an entry: a debit when above zero, a credit when below. The key numbers the movements of a wallet without gaps,
-- so that two decisions at once cannot both be the next one.
CREATE TABLE ledger_entries (
    tenant_id text NOT NULL,
    wallet_id text NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    entry integer NOT NULL,                              -- from 1
    movement text NOT NULL,
    at timestamptz NOT NULL,
    invoice_id text,
    account text NOT NULL,
    grant_id text NOT NULL,
    unit text NOT NULL,
    amount numeric NOT NULL CHECK (amount <> 0),
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, wallet_id, number, entry)
);
CREATE INDEX ledger_entries_invoice ON ledger_entries (tenant_id, invoice_id) WHERE invoice_id IS NOT NULL;

-- Movements are written whole, so that each statement must leave every one it touched in balance.
CREATE FUNCTION talea_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
    SELECT wallet_id, number, unit, sum(amount) AS rest INTO wrong FROM added
        GROUP BY tenant_id, wallet_id, number, unit HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'movement % of wallet % does not balance: % % are left', wrong.number, wrong.wallet_id, wrong.rest, wrong.unit
            USING ERRCODE = 'check_violation', HINT = 'every movement sums to zero in each unit';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER every_movement_balances AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION talea_check_balance();
-- (A rebuild replaces whole rows, by delete and insert.)
CREATE TRIGGER a_movement_is_final BEFORE UPDATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION talea_refuse_change();

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['wallets', 'credit_grants', 'credit_orders', 'ledger_entries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO talea_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY operator_reads ON %I FOR SELECT TO talea_operator USING (true)', name);
        EXECUTE format('CREATE POLICY tenant_only ON %I TO talea_app USING (tenant_id = (SELECT talea_tenant()))
            WITH CHECK (tenant_id = (SELECT talea_tenant()))', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO talea_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO talea_operator', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO talea_app, talea_worker', name);
    END LOOP;
END $$;
GRANT UPDATE ON wallets, credit_grants, credit_orders TO talea_app, talea_worker;
