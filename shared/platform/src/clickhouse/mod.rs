//! The ClickHouse store: one handle for queries (crate `clickhouse`) and for inserts that are sent whole (HTTP with Content-Length).
//!
//! Every query runs without the query condition cache and the query result cache: both can silently drop rows under filters and
//! skip indexes. Waiting is bounded on the server (`max_execution_time`) and here.

mod error;
mod insert;
mod migrate;
pub mod sql;

pub use error::{ClickHouseError, InsertError};
pub use migrate::MIGRATIONS;

use ::clickhouse::query::Query;
use ::clickhouse::{Client, RowOwned, RowRead};
use std::time::Duration;
use talea_domain::id::TenantId;

/// Tables whose rows belong to one tenant each: a tenant's query sees only its own rows of them, whatever its text says.
pub const TENANT_TABLES: [&str; 5] = ["usage_events", "usage_voids", "usage_repeats", "dead_letters", "usage_buckets"];

/// How much one query may cost before the server stops it with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Seconds of run time.
    pub max_execution_seconds: u64,
    /// Rows read from tables; 0 is without limit.
    pub max_rows_to_read: u64,
    /// Bytes read from tables, uncompressed; 0 is without limit.
    pub max_bytes_to_read: u64,
    /// Rows of the answer; 0 is without limit.
    pub max_result_rows: u64,
    /// Bytes of memory on the server; 0 is the server's own limit.
    pub max_memory_bytes: u64,
}

impl QueryLimits {
    /// For queries that a tenant's caller causes: a wide question fails by itself instead of slowing the others.
    pub const TENANT: Self = Self {
        max_execution_seconds: 30,
        max_rows_to_read: 2_000_000_000,
        max_bytes_to_read: 400_000_000_000,
        max_result_rows: 1_000_000,
        max_memory_bytes: 4_000_000_000,
    };
    /// For workers and billing runs, which read the usage of all tenants at once.
    pub const WORKER: Self = Self {
        max_execution_seconds: 600,
        max_rows_to_read: 0,
        max_bytes_to_read: 0,
        max_result_rows: 0,
        max_memory_bytes: 0,
    };

    fn apply(self, client: Client) -> Client {
        client
            .with_setting("max_execution_time", self.max_execution_seconds.to_string())
            .with_setting("max_rows_to_read", self.max_rows_to_read.to_string())
            .with_setting("max_bytes_to_read", self.max_bytes_to_read.to_string())
            .with_setting("max_result_rows", self.max_result_rows.to_string())
            .with_setting("max_memory_usage", self.max_memory_bytes.to_string())
    }
}

/// A handle to one database of one ClickHouse server. Cheap to clone; connections are pooled.
#[derive(Clone)]
pub struct ClickHouse {
    client: Client,
    http: reqwest::Client,
    url: String,
    user: String,
    password: String,
    database: String,
}

impl std::fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouse").field("url", &self.url).field("database", &self.database).finish_non_exhaustive()
    }
}

impl ClickHouse {
    /// Makes the handle; opens no connection yet. The password travels in a header, never in a URL.
    ///
    /// # Errors
    /// When the HTTP client cannot be built or `database` is not a plain name.
    pub fn connect(url: &str, user: &str, password: &str, database: &str) -> Result<Self, ClickHouseError> {
        if !sql::is_plain_name(database) {
            return Err(ClickHouseError::Setup(format!(
                "clickhouse.database: \"{database}\" is not a plain name; use letters, digits and _, not starting with a digit"
            )));
        }
        let client = Client::default()
            .with_url(url)
            .with_user(user)
            .with_password(password)
            .with_database(database)
            .with_setting("use_query_condition_cache", "0")
            .with_setting("use_query_cache", "0")
            .with_setting("async_insert", "0")
            .with_setting("join_use_nulls", "0")
            .with_setting("max_query_size", sql::MAX_QUERY_BYTES.to_string())
            .with_setting("max_ast_elements", "1000000")
            .with_setting("max_expanded_ast_elements", "1000000")
            // Decimals as text without trailing zeros: the canonical form of a number, as filters and dimensions see it.
            .with_setting("output_format_decimal_trailing_zeros", "0")
            .with_setting("do_not_merge_across_partitions_select_final", "1");
        Ok(Self {
            client,
            http: insert::http_client()?,
            url: url.trim_end_matches('/').to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            database: database.to_owned(),
        })
    }

    /// The database that every statement runs in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A query of a worker: sees all tenants. `sql` is sent as it is; values enter it through [`sql`] or `Query::param`.
    pub fn query(&self, sql: &str) -> Query {
        QueryLimits::WORKER.apply(self.client.clone()).query_raw(sql)
    }

    /// A query on behalf of one tenant. It binds the tenant by itself; should it forget to, the server still shows it that tenant's
    /// rows alone (`additional_table_filters`), in every tenant table, in subqueries and joins too.
    pub fn tenant_query(&self, tenant: &TenantId, sql: &str) -> Query {
        self.tenant_query_within(tenant, sql, QueryLimits::TENANT)
    }

    /// [`Self::tenant_query`] with other limits.
    pub fn tenant_query_within(&self, tenant: &TenantId, sql: &str, limits: QueryLimits) -> Query {
        limits
            .apply(self.client.clone())
            .with_setting("additional_table_filters", self.tenant_filters(tenant))
            .query_raw(sql)
    }

    fn tenant_filters(&self, tenant: &TenantId) -> String {
        let filter = sql::text(&format!("tenant_id = {}", sql::text(tenant.as_str())));
        let entries: Vec<String> =
            TENANT_TABLES.iter().map(|table| format!("'{}.{table}': {filter}", self.database)).collect();
        format!("{{{}}}", entries.join(", "))
    }

    /// Runs the query and returns all rows.
    ///
    /// # Errors
    /// See [`ClickHouseError`]; a query that hangs past the server's own limit ends as `TimedOut`.
    pub async fn rows<T: RowOwned + RowRead>(&self, query: Query) -> Result<Vec<T>, ClickHouseError> {
        bounded(query.fetch_all::<T>()).await
    }

    /// Runs a statement without an answer.
    ///
    /// # Errors
    /// See [`ClickHouseError`].
    pub async fn execute(&self, query: Query) -> Result<(), ClickHouseError> {
        bounded(query.execute()).await
    }

    /// Whether the server answers.
    ///
    /// # Errors
    /// See [`ClickHouseError`].
    pub async fn ping(&self) -> Result<(), ClickHouseError> {
        let answer: Vec<u8> = self.rows(self.query("SELECT 1")).await?;
        debug_assert_eq!(answer, [1]);
        Ok(())
    }

    /// Ends every running query whose id begins with `prefix` and waits until it has ended. Query ids are those given to
    /// [`Self::insert_whole`]; only those of this database are meant.
    ///
    /// # Errors
    /// See [`ClickHouseError`].
    pub async fn kill(&self, prefix: &str) -> Result<(), ClickHouseError> {
        let prefix = sql::text(&self.query_id(prefix));
        // startsWith instead of LIKE: an underscore in a topic's name is a wildcard there.
        self.execute(self.query(&format!("KILL QUERY WHERE startsWith(query_id, {prefix}) SYNC"))).await
    }

    /// Query ids are unique per server, and several databases can share one.
    fn query_id(&self, id: &str) -> String {
        format!("{}/{id}", self.database)
    }
}

/// Waits a little longer than any server-side limit; then the connection itself is at fault.
async fn bounded<T>(work: impl Future<Output = Result<T, ::clickhouse::error::Error>>) -> Result<T, ClickHouseError> {
    let limit = Duration::from_secs(QueryLimits::WORKER.max_execution_seconds + 30);
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(ClickHouseError::from),
        Err(_) => Err(ClickHouseError::TimedOut),
    }
}
