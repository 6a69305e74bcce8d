-- The core schema: the journal, its projections, and the small tables of state around them.
--
-- Runs as talea_owner. Roles exist already (platform::postgres::migrate creates them):
--   talea_app       HTTP requests; sees one tenant, the one that SET LOCAL talea.tenant names
--   talea_worker    background work over all tenants, on the tables named at the end
--   talea_operator  reads everything, writes nothing
-- Every table is listed in platform::postgres::registry. `tenant_id` leads every key of every tenant table.
-- Times are arguments: nothing here reads the clock.

CREATE FUNCTION talea_tenant() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE tenant text := current_setting('talea.tenant', true);
BEGIN
    -- A setting that was once set reads '' afterwards, not NULL: both mean that nobody chose a tenant.
    IF tenant IS NULL OR tenant = '' THEN
        RAISE EXCEPTION 'no tenant is set for this transaction' USING ERRCODE = 'insufficient_privilege',
            HINT = 'begin the transaction through AppPool';
    END IF;
    RETURN tenant;
END $$;

-- 1. The journal ---------------------------------------------------------------------------------------------------

-- One row: the last position, and the last that every projection holds. An append locks it until it commits, so that the
-- order of positions is the order of commits and no reader can skip a late one.
CREATE TABLE journal_head (
    id smallint PRIMARY KEY CHECK (id = 1),
    position bigint NOT NULL,
    projected bigint NOT NULL
);
INSERT INTO journal_head VALUES (1, 0, 0);

CREATE TABLE journal (
    position bigint NOT NULL,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),     -- '_' for decisions that belong to all tenants
    stream text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    type text NOT NULL,
    payload json NOT NULL,                               -- json, not jsonb: the bytes stay as they were written
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    idempotency_key text,
    PRIMARY KEY (tenant_id, position),
    UNIQUE (tenant_id, stream, version)
);
CREATE UNIQUE INDEX journal_idempotency_key ON journal (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX journal_position_key ON journal (position);

CREATE FUNCTION talea_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what was decided or issued is never edited', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'append a correcting decision';
END $$;
CREATE TRIGGER journal_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION talea_refuse_change();

-- 2. Projections: rebuilt from the journal alone -------------------------------------------------------------------

CREATE TABLE tenants (
    tenant_id text PRIMARY KEY,
    zone text NOT NULL,
    party_version integer NOT NULL,
    created_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'suspended')),
    state_cause text NOT NULL,                           -- JSON
    state_at timestamptz NOT NULL,
    position bigint NOT NULL                             -- of the last decision about it
);

CREATE TABLE meters (
    key text NOT NULL,
    version integer NOT NULL,
    event_type text NOT NULL,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (key, version)
);
CREATE INDEX meters_event_type ON meters (event_type);

CREATE TABLE plan_versions (
    key text NOT NULL,
    version integer NOT NULL,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (key, version)
);

CREATE TABLE invoice_settings (
    id smallint PRIMARY KEY CHECK (id = 1),
    document text NOT NULL,
    position bigint NOT NULL
);

CREATE TABLE topic_partitions (
    topic text PRIMARY KEY,
    partitions integer NOT NULL CHECK (partitions > 0),
    position bigint NOT NULL
);

CREATE TABLE subscriptions (
    tenant_id text NOT NULL,
    id text NOT NULL,
    plan_key text NOT NULL,
    plan_version integer NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,                                 -- exclusive; NULL while nobody ended it
    cancel_mode text,
    billed_until timestamptz,                            -- the last bill moment that is closed
    document text NOT NULL,                              -- as it stands
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX subscriptions_id ON subscriptions (id);

CREATE TABLE invoices (
    tenant_id text NOT NULL,
    id text NOT NULL,
    subscription_id text NOT NULL,
    number text,                                         -- NULL for a draft
    status text NOT NULL,
    currency text NOT NULL,
    subtotal_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    billed_at timestamptz NOT NULL,                      -- the bill moment
    revision integer NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    issue_date date,
    due_date date,
    finalized_at timestamptz,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number)
);
CREATE INDEX invoices_subscription ON invoices (tenant_id, subscription_id, period_start);
CREATE INDEX invoices_position ON invoices (tenant_id, position);
-- For keys that are bound to no tenant, which name an invoice by its id alone or list the newest.
CREATE INDEX invoices_id ON invoices (id);
CREATE INDEX invoices_billed_at ON invoices (billed_at);
CREATE INDEX invoices_drafts ON invoices (status) WHERE status = 'draft';
-- An issued document never changes. (A rebuild replaces whole rows, by delete and insert.)
CREATE TRIGGER issued_is_final BEFORE UPDATE ON invoices
    FOR EACH ROW WHEN (OLD.status = 'finalized') EXECUTE FUNCTION talea_refuse_change();

CREATE TABLE invoice_lines (
    tenant_id text NOT NULL,
    invoice_id text NOT NULL,
    line integer NOT NULL,                               -- from 1
    kind text NOT NULL,
    price_key text NOT NULL,
    meter text,
    period_start timestamptz NOT NULL,                   -- of usage: the window
    period_end timestamptz NOT NULL,
    description text NOT NULL,
    amount_minor bigint NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id, line)
);

-- Usage windows that are closed, with or without an invoice: usage outside the cut is late. The cut is that of the last
-- time the window was measured.
CREATE TABLE billed_periods (
    tenant_id text NOT NULL,
    subscription_id text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    invoice_id text,                                     -- the last document that measured it
    cut bigint[] NOT NULL,                               -- per partition of the usage log, the first offset not counted
    closed_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, period_start)
);
CREATE INDEX billed_periods_end ON billed_periods (period_end);

CREATE TABLE quota_signals (
    tenant_id text NOT NULL,
    id text NOT NULL,
    feature text NOT NULL,
    document text NOT NULL,
    recorded_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- The last signal of each feature: what the quota service starts from.
CREATE TABLE quota_state (
    tenant_id text NOT NULL,
    feature text NOT NULL,
    signal_id text NOT NULL,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, feature)
);

-- Limits of one tenant that differ from its plan's.
CREATE TABLE quota_limits (
    tenant_id text NOT NULL,
    feature text NOT NULL,
    version bigint NOT NULL,
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, feature)
);

CREATE TABLE api_keys (
    tenant_id text NOT NULL,                             -- '_' for a key that is bound to no tenant
    id text NOT NULL,
    label text NOT NULL,
    scopes text[] NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (sha256);

-- 3. State that is not derived from the journal --------------------------------------------------------------------

-- Personal data, erasable; decisions refer to (tenant, version).
CREATE TABLE party (
    tenant_id text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    document text,                                       -- JSON; NULL once erased
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

-- One row a series. The transaction that takes numbers also uses them, so that none is lost.
CREATE TABLE invoice_series (
    series text PRIMARY KEY,
    last_number bigint NOT NULL CHECK (last_number >= 0)
);

-- What a POST with an Idempotency-Key answered.
CREATE TABLE idempotency_keys (
    tenant_id text NOT NULL,
    key text NOT NULL,
    route text NOT NULL,
    request_sha256 bytea NOT NULL,
    status integer NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE TABLE outbox_cursors (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

-- The epoch of each partition's owner; taken by UPDATE … RETURNING, never as max + 1.
CREATE TABLE metering_epochs (
    topic text NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Buckets whose events changed since they were last recomputed. A generation grows with each change, so that a
-- recompute deletes only the mark it worked from.
CREATE TABLE usage_dirty_buckets (
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    bucket_start timestamptz NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    marked_at timestamptz,                               -- of the last mark
    PRIMARY KEY (tenant_id, event_type, bucket_start)
);
CREATE INDEX usage_dirty_buckets_marked_at ON usage_dirty_buckets (marked_at);

CREATE TABLE test_clock (
    id smallint PRIMARY KEY CHECK (id = 1),
    now timestamptz NOT NULL
);

-- 4. API keys are looked up before a tenant is known, by this one function and no other way -------------------------

CREATE FUNCTION talea_api_key(hash bytea)
    RETURNS TABLE (tenant_id text, id text, label text, scopes text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT k.tenant_id, k.id, k.label, k.scopes FROM public.api_keys k WHERE k.sha256 = hash AND k.revoked_at IS NULL
$$;
REVOKE ALL ON FUNCTION talea_api_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION talea_api_key(bytea) TO talea_app;

-- 5. Who may do what -----------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA public TO talea_app, talea_worker, talea_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO talea_operator;

DO $$
DECLARE
    name text;
    -- Rows of one tenant. Each gets row-level security, forced, so that it holds for the owner too.
    tenant_tables text[] := ARRAY['journal', 'tenants', 'subscriptions', 'invoices', 'invoice_lines', 'billed_periods',
        'quota_signals', 'quota_state', 'quota_limits', 'api_keys', 'party', 'idempotency_keys', 'usage_dirty_buckets'];
    -- Of these, the ones that background work needs over all tenants. API keys and idempotency keys are not among them.
    worker_tables text[] := ARRAY['journal', 'tenants', 'subscriptions', 'invoices', 'invoice_lines', 'billed_periods',
        'quota_signals', 'quota_state', 'quota_limits', 'party', 'usage_dirty_buckets'];
    -- Everybody may read them; only a decision of the global scope writes them.
    catalogue_tables text[] := ARRAY['meters', 'plan_versions', 'invoice_settings', 'topic_partitions'];
BEGIN
    FOREACH name IN ARRAY tenant_tables || catalogue_tables LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO talea_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY operator_reads ON %I FOR SELECT TO talea_operator USING (true)', name);
    END LOOP;
    FOREACH name IN ARRAY tenant_tables LOOP
        EXECUTE format('CREATE POLICY tenant_only ON %I TO talea_app USING (tenant_id = (SELECT talea_tenant()))
            WITH CHECK (tenant_id = (SELECT talea_tenant()))', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO talea_app', name);
    END LOOP;
    FOREACH name IN ARRAY worker_tables LOOP
        EXECUTE format('CREATE POLICY worker_all ON %I TO talea_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO talea_worker', name);
    END LOOP;
    FOREACH name IN ARRAY catalogue_tables LOOP
        EXECUTE format('CREATE POLICY everybody_reads ON %I FOR SELECT TO talea_app, talea_worker USING (true)', name);
        EXECUTE format('CREATE POLICY global_scope_inserts ON %I FOR INSERT TO talea_app
            WITH CHECK ((SELECT talea_tenant()) = ''_'')', name);
        EXECUTE format('CREATE POLICY global_scope_updates ON %I FOR UPDATE TO talea_app
            USING ((SELECT talea_tenant()) = ''_'') WITH CHECK ((SELECT talea_tenant()) = ''_'')', name);
        EXECUTE format('CREATE POLICY worker_inserts ON %I FOR INSERT TO talea_worker WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_updates ON %I FOR UPDATE TO talea_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO talea_app, talea_worker', name);
    END LOOP;
END $$;

-- Projections are upserted; the journal is only added to.
GRANT UPDATE ON tenants, subscriptions, invoices, invoice_lines, billed_periods, quota_state, quota_limits, usage_dirty_buckets
    TO talea_app, talea_worker;
GRANT UPDATE ON api_keys TO talea_app;
-- A draft's lines are replaced with the draft.
GRANT DELETE ON invoice_lines TO talea_app, talea_worker;
-- A recompute takes its mark away.
GRANT DELETE ON usage_dirty_buckets TO talea_worker;

GRANT SELECT, INSERT, UPDATE ON invoice_series, test_clock TO talea_app, talea_worker;
GRANT SELECT, UPDATE ON journal_head TO talea_app, talea_worker;
GRANT SELECT, INSERT, UPDATE ON outbox_cursors, metering_epochs TO talea_worker;
GRANT SELECT ON outbox_cursors, metering_epochs TO talea_app;
