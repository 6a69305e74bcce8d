-- Coupons, to which subscriptions they are applied, and what they gave; tax rates and what is known of customers. All of them
-- are projections of the journal.

CREATE TABLE coupons (
    key text PRIMARY KEY,
    document text NOT NULL,
    position bigint NOT NULL
);

CREATE TABLE subscription_coupons (
    tenant_id text NOT NULL,
    subscription_id text NOT NULL,
    coupon_key text NOT NULL,
    applies_from timestamptz NOT NULL,                   -- the first bill moment it is for
    removed_at timestamptz,                              -- the first bill moment that it is no longer for
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, coupon_key)
);
CREATE INDEX subscription_coupons_coupon ON subscription_coupons (coupon_key);

-- What issued invoices gave, by the bill moment that it counts for, with what corrections changed.
CREATE TABLE coupon_redemptions (
    tenant_id text NOT NULL,
    subscription_id text NOT NULL,
    coupon_key text NOT NULL,
    billed_at timestamptz NOT NULL,
    given_minor bigint NOT NULL,                         -- 0 for a coupon that gives units
    currency text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id, coupon_key, billed_at)
);

CREATE TABLE tax_settings (
    id smallint PRIMARY KEY CHECK (id = 1),
    document text NOT NULL,
    position bigint NOT NULL
);

CREATE TABLE tax_profiles (
    tenant_id text NOT NULL,
    valid_from date NOT NULL,                            -- 0001-01-01 for one that holds from the beginning
    document text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant_id, valid_from)
);

-- To how many subscriptions of all tenants a coupon was applied: a number is all that a tenant's transaction may know of it.
CREATE FUNCTION talea_coupon_uses(coupon text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FROM public.subscription_coupons c WHERE c.coupon_key = coupon
$$;
REVOKE ALL ON FUNCTION talea_coupon_uses(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION talea_coupon_uses(text) TO talea_app;

DO $$
DECLARE
    name text;
    tenant_tables text[] := ARRAY['subscription_coupons', 'coupon_redemptions', 'tax_profiles'];
    catalogue_tables text[] := ARRAY['coupons', 'tax_settings'];
BEGIN
    FOREACH name IN ARRAY tenant_tables || catalogue_tables LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO talea_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY operator_reads ON %I FOR SELECT TO talea_operator USING (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO talea_operator', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO talea_app, talea_worker', name);
    END LOOP;
    FOREACH name IN ARRAY tenant_tables LOOP
        EXECUTE format('CREATE POLICY tenant_only ON %I TO talea_app USING (tenant_id = (SELECT talea_tenant()))
            WITH CHECK (tenant_id = (SELECT talea_tenant()))', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO talea_worker USING (true) WITH CHECK (true)', name);
    END LOOP;
    FOREACH name IN ARRAY catalogue_tables LOOP
        EXECUTE format('CREATE POLICY everybody_reads ON %I FOR SELECT TO talea_app, talea_worker USING (true)', name);
        EXECUTE format('CREATE POLICY global_scope_inserts ON %I FOR INSERT TO talea_app
            WITH CHECK ((SELECT talea_tenant()) = ''_'')', name);
        EXECUTE format('CREATE POLICY global_scope_updates ON %I FOR UPDATE TO talea_app
            USING ((SELECT talea_tenant()) = ''_'') WITH CHECK ((SELECT talea_tenant()) = ''_'')', name);
        EXECUTE format('CREATE POLICY worker_inserts ON %I FOR INSERT TO talea_worker WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_updates ON %I FOR UPDATE TO talea_worker USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;
