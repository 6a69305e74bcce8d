//! Every table is registered, and every tenant table is protected: by its keys, by forced row-level security, by a policy.

use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use std::collections::BTreeSet;
use talea_platform::postgres::registry::{Export, Kind, TABLES, Table};
use talea_platform::postgres::{OwnerPool, Role, Target};

fn name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

async fn owner(target: &Target) -> PgConnection {
    OwnerPool::new(target).expect("parses").connect().await.expect("connects")
}

pub async fn every_table_is_registered(target: &Target) {
    const FOUND: &str = "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_' AND c.relkind IN ('r', 'p') \
            AND NOT c.relispartition";
    let found: Vec<String> = sqlx::query_scalar(FOUND).fetch_all(&mut owner(target).await).await.expect("reads");
    let found: BTreeSet<String> = found.into_iter().collect();
    let registered: BTreeSet<String> = TABLES.iter().map(name).collect();
    assert_eq!(registered.len(), TABLES.len(), "a table stands twice in the register");
    let unregistered: Vec<_> = found.difference(&registered).collect();
    assert!(unregistered.is_empty(), "add {unregistered:?} to platform::postgres::registry");
    let missing: Vec<_> = registered.difference(&found).collect();
    assert!(missing.is_empty(), "{missing:?} are registered and do not exist");
}

/// A table with a tenant column is a tenant table.
pub async fn no_tenant_table_is_called_global(target: &Target) {
    const HAS_TENANT: &str = "SELECT EXISTS (SELECT FROM information_schema.columns \
        WHERE table_schema = $1 AND table_name = $2 AND column_name = 'tenant_id')";
    let mut owner = owner(target).await;
    for table in TABLES {
        let has: bool = sqlx::query_scalar(HAS_TENANT)
            .bind(table.schema)
            .bind(table.name)
            .fetch_one(&mut owner)
            .await
            .expect("reads");
        assert_eq!(has, table.kind == Kind::Tenant, "{}", name(table));
    }
}

/// A unique index ignores row-level security: without the tenant in front it would answer for other tenants' rows.
pub async fn the_tenant_leads_every_key(target: &Target) {
    const KEYS: &str = "SELECT i.relname::text, a.attname::text, x.indisprimary FROM pg_index x \
        JOIN pg_class i ON i.oid = x.indexrelid \
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] \
        WHERE x.indrelid = $1::text::regclass AND x.indisunique";
    let mut owner = owner(target).await;
    for table in TABLES.iter().filter(|table| table.kind == Kind::Tenant) {
        let keys: Vec<(String, String, bool)> =
            sqlx::query_as(KEYS).bind(name(table)).fetch_all(&mut owner).await.expect("reads");
        assert!(keys.iter().any(|(_, _, primary)| *primary), "{} has no primary key", name(table));
        for (index, first, _) in keys {
            let allowed = table.server_made_keys.contains(&index.as_str());
            assert!(first == "tenant_id" || allowed, "{index} of {} starts with {first}", name(table));
        }
    }
}

pub async fn row_security_is_forced_on_every_tenant_table(target: &Target) {
    const FORCED: &str = "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = $1::text::regclass";
    const POLICIES: &str = "SELECT coalesce(qual, ''), coalesce(with_check, '') FROM pg_policies \
        WHERE schemaname = $1 AND tablename = $2 AND (roles && ARRAY['talea_app', 'public']::name[])";
    let mut owner = owner(target).await;
    for table in TABLES.iter().filter(|table| table.kind == Kind::Tenant) {
        let forced: bool = sqlx::query_scalar(FORCED).bind(name(table)).fetch_one(&mut owner).await.expect("reads");
        assert!(forced, "row-level security is not forced on {}", name(table));
        let policies: Vec<(String, String)> =
            sqlx::query_as(POLICIES).bind(table.schema).bind(table.name).fetch_all(&mut owner).await.expect("reads");
        assert_eq!(policies.len(), 1, "one policy of {} holds talea_app", name(table));
        for expression in [&policies[0].0, &policies[0].1] {
            let plain: String = expression.split_whitespace().collect();
            assert!(plain.starts_with("(tenant_id=(SELECTtalea_tenant()"), "{}: {expression}", name(table));
        }
    }
}

pub async fn the_register_can_export_and_erase(target: &Target) {
    let mut owner = owner(target).await;
    for table in TABLES {
        let exported = table.export_sql();
        assert_eq!(exported.is_some(), table.kind == Kind::Tenant && table.export == Export::Rows, "{}", name(table));
        for statement in exported.into_iter().chain(table.erase_sql()) {
            sqlx::query(AssertSqlSafe(statement)).bind("nobody").execute(&mut owner).await.expect("is a statement");
        }
    }
}

pub async fn no_role_escapes_row_security(target: &Target) {
    for role in Role::ALL {
        let mut connection = target.role(role).expect("parses").connect().await.expect("connects");
        talea_platform::postgres::refuse_unsafe_role(&mut connection).await.expect("row-level security holds it");
    }
}
