//! The register of tables: whose rows each holds, and what export and erasure of a tenant do with them. A test compares it
//! with the database, so that a table that is missing here, or a tenant table without its protection, fails the build.

/// Whose rows a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows of one tenant each: `tenant_id` leads every key, row-level security is forced.
    Tenant,
    /// Rows that belong to no tenant.
    Global,
}

/// What a tenant gets of a table when it asks for its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// Every row, as JSON.
    Rows,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// What happens to a tenant's rows when it is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erase {
    /// They are deleted.
    Delete,
    /// This statement removes what is personal in them; `$1` is the tenant.
    Redact(&'static str),
    /// They stay, for this reason.
    Keep(&'static str),
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub schema: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub export: Export,
    pub erase: Erase,
    /// Unique indexes without the tenant in front. Allowed only over values that the server makes and nobody can guess or
    /// choose, because a unique index ignores row-level security and answers for other tenants' rows.
    pub server_made_keys: &'static [&'static str],
}

impl Table {
    /// The rows of tenant `$1`, one JSON text each.
    pub fn export_sql(&self) -> Option<String> {
        let Self { schema, name, .. } = self;
        (self.kind == Kind::Tenant && self.export == Export::Rows)
            .then(|| format!("SELECT row_to_json(t)::text FROM {schema}.{name} t WHERE tenant_id = $1"))
    }

    /// Erases tenant `$1`.
    pub fn erase_sql(&self) -> Option<String> {
        let Self { schema, name, .. } = self;
        match self.erase {
            Erase::Delete => Some(format!("DELETE FROM {schema}.{name} WHERE tenant_id = $1")),
            Erase::Redact(statement) => Some(statement.to_owned()),
            Erase::Keep(_) => None,
        }
    }
}

const RETAINED: Erase = Erase::Keep("an issued document is retained by law; it holds its own copy of what it says");
const NO_PERSONAL_DATA: Erase = Erase::Keep("holds no personal data, and other rows refer to it");
const NO_TENANT: (Export, Erase) = (Export::Nothing("belongs to no tenant"), Erase::Keep("belongs to no tenant"));

const fn tenant(name: &'static str, export: Export, erase: Erase) -> Table {
    Table { schema: "public", name, kind: Kind::Tenant, export, erase, server_made_keys: &[] }
}

const fn global(schema: &'static str, name: &'static str) -> Table {
    let (export, erase) = NO_TENANT;
    Table { schema, name, kind: Kind::Global, export, erase, server_made_keys: &[] }
}

/// Every table of Talea in Postgres. Partitions of a table are listed as that table.
pub const TABLES: &[Table] = &[
    Table {
        server_made_keys: &["journal_position_key"],
        ..tenant(
            "journal",
            Export::Rows,
            Erase::Keep("refers to personal data, never holds it; the audit needs it whole"),
        )
    },
    tenant("tenants", Export::Rows, NO_PERSONAL_DATA),
    tenant("subscriptions", Export::Rows, NO_PERSONAL_DATA),
    tenant("invoices", Export::Rows, RETAINED),
    tenant("invoice_lines", Export::Rows, RETAINED),
    tenant("billed_periods", Export::Rows, RETAINED),
    tenant("invoice_states", Export::Rows, RETAINED),
    tenant("payments", Export::Rows, RETAINED),
    tenant("open_credit_entries", Export::Rows, RETAINED),
    tenant("credit_notes", Export::Rows, RETAINED),
    tenant("dunning_steps", Export::Rows, RETAINED),
    tenant("billing_terms", Export::Rows, NO_PERSONAL_DATA),
    tenant("charges", Export::Rows, RETAINED),
    tenant("wallets", Export::Rows, NO_PERSONAL_DATA),
    tenant("credit_grants", Export::Rows, NO_PERSONAL_DATA),
    tenant("credit_orders", Export::Rows, NO_PERSONAL_DATA),
    tenant("ledger_entries", Export::Rows, RETAINED),
    tenant("subscription_coupons", Export::Rows, NO_PERSONAL_DATA),
    tenant("coupon_redemptions", Export::Rows, NO_PERSONAL_DATA),
    tenant("tax_profiles", Export::Rows, NO_PERSONAL_DATA),
    tenant("quota_signals", Export::Rows, NO_PERSONAL_DATA),
    tenant("quota_state", Export::Rows, NO_PERSONAL_DATA),
    tenant("quota_limits", Export::Rows, NO_PERSONAL_DATA),
    Table {
        server_made_keys: &["api_keys_sha256"],
        ..tenant("api_keys", Export::Nothing("secrets, even hashed, are not exported"), NO_PERSONAL_DATA)
    },
    tenant("party", Export::Rows, Erase::Redact("UPDATE public.party SET document = NULL WHERE tenant_id = $1")),
    tenant("idempotency_keys", Export::Nothing("answers that the tenant already has"), Erase::Delete),
    tenant("usage_dirty_buckets", Export::Nothing("work in progress, derived from the events"), Erase::Delete),
    global("public", "_sqlx_migrations"),
    global("public", "journal_head"),
    global("public", "meters"),
    global("public", "plan_versions"),
    global("public", "invoice_settings"),
    global("public", "coupons"),
    global("public", "tax_settings"),
    global("public", "topic_partitions"),
    global("public", "invoice_series"),
    global("public", "outbox_cursors"),
    global("public", "metering_epochs"),
    global("public", "test_clock"),
    // The log is transport: its records are dropped when their retention is over.
    global("log", "topics"),
    global("log", "partitions"),
    global("log", "batches"),
    global("log", "ranges"),
    global("log", "producers"),
    global("log", "groups"),
    global("log", "members"),
    global("log", "group_partitions"),
];
