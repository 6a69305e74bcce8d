-- Migrations of plans to other versions, and how far each is. A projection of the journal. It names subscriptions of every tenant,
-- so that only the global scope reads it.

CREATE TABLE plan_migrations (
    id text PRIMARY KEY,
    plan_key text NOT NULL,
    is_done boolean NOT NULL,
    document text NOT NULL,
    version bigint NOT NULL,                             -- of its stream
    position bigint NOT NULL                             -- of its start
);
CREATE INDEX plan_migrations_unfinished ON plan_migrations (position) WHERE NOT is_done;

ALTER TABLE plan_migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE plan_migrations FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON plan_migrations TO talea_owner USING (true) WITH CHECK (true);
CREATE POLICY operator_reads ON plan_migrations FOR SELECT TO talea_operator USING (true);
CREATE POLICY worker_all ON plan_migrations TO talea_worker USING (true) WITH CHECK (true);
CREATE POLICY global_scope_only ON plan_migrations TO talea_app
    USING ((SELECT talea_tenant()) = '_') WITH CHECK ((SELECT talea_tenant()) = '_');
GRANT SELECT ON plan_migrations TO talea_operator;
GRANT SELECT, INSERT, UPDATE ON plan_migrations TO talea_app, talea_worker;

-- Which subscriptions a migration is about, page by page.
CREATE INDEX subscriptions_plan ON subscriptions (plan_key, tenant_id, id);
