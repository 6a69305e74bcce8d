//! What every HTTP route shares: problems (RFC 9457), the caller behind an API key, pages, idempotent creation.

mod caller;
mod idempotency;
mod page;
mod problem;
mod record;
mod telemetry;

pub use caller::{Caller, TenantContext, authenticate};
pub use idempotency::{Request as IdempotentRequest, expire as expire_idempotency_keys, idempotent};
pub use page::{Cursor, Page, PageQuery};
pub use problem::{Json, Path, Problem, Query, read_json};
pub use record::record;
pub use telemetry::measure;
