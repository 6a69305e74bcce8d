//! `GET /v1/usage`: how much a tenant used, by window and dimension, exact to the last decimal.

use super::{one_tenant, usage_problem};
use crate::context::Context;
use axum::extract::State;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::{MeterKey, SubscriptionId, TenantId};
use talea_domain::meter::WindowSize;
use talea_domain::period::Period;
use talea_domain::quantity::canonical;
use talea_domain::tenant::Scope;
use talea_platform::catalogue;
use talea_platform::http::{Caller, Cursor, Json, Page, PageQuery, Problem, Query};
use talea_platform::usage::dirty::DirtyBuckets;
use talea_platform::usage::query::{self, Source, UsagePage, UsageQuery, UsageRow, Window};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageParameters {
    /// May be left out with a key that is bound to a tenant.
    pub tenant_id: Option<TenantId>,
    pub meter: MeterKey,
    /// RFC 3339, inclusive.
    pub from: DateTime<Utc>,
    /// RFC 3339, exclusive.
    pub to: DateTime<Utc>,
    /// `minute`, `hour`, `day`, `month`, `billing_period`; without it the whole range is one window.
    pub window: Option<String>,
    /// IANA name; default the tenant's own zone.
    pub time_zone: Option<String>,
    /// For `window=billing_period`: whose periods; default the tenant's only subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// `name:value`, several joined by commas: values of one dimension are alternatives, dimensions must all match.
    pub filter: Option<String>,
    /// Names of dimensions, joined by commas.
    pub group_by: Option<String>,
    /// `raw` reads every event instead of the buckets; the answer is the same.
    pub source: Option<String>,
    #[serde(default, deserialize_with = "number_or_text")]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// Query strings are text: a number that was flattened into them is read from text.
pub(super) fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(|_| serde::de::Error::custom("limit is not a whole number"))).transpose()
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UsageWindow {
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    /// Values of the `group_by` dimensions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub group: BTreeMap<String, String>,
    /// Exact decimal as text; null when a max, min, avg or latest has nothing to say.
    pub value: Option<String>,
    /// Events that were metered.
    pub count: u64,
    /// Events of the meter's type that it could not read.
    pub unmetered: u64,
}

type After = (DateTime<Utc>, Vec<String>);

/// Usage of one tenant and meter.
#[utoipa::path(get, path = "/v1/usage", tag = "usage", params(UsageParameters),
    responses((status = 200, body = Page<UsageWindow>), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn usage(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<UsageParameters>,
) -> Result<Json<Page<UsageWindow>>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = one_tenant(&caller, asked.tenant_id.as_ref())?;
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let meter = catalogue::meter(&mut tx, &asked.meter, None)
        .await
        .map_err(Problem::internal)?
        .ok_or_else(Problem::not_found)?;
    let zone = zone(&mut tx, &tenant, asked.time_zone.as_deref()).await?;
    let range = Period { start: asked.from, end: asked.to };
    let window = match asked.window.as_deref() {
        Some("billing_period") => Window::Bounds(billing_bounds(&mut tx, &tenant, &asked, range).await?),
        other => window(other, zone)?,
    };
    let dirty = DirtyBuckets::of_tenant(&mut tx, &tenant, &meter.event_type, range).await.map_err(Problem::internal)?;
    drop(tx);
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor.clone() };
    let limit = page.limit()?;
    let question = UsageQuery {
        tenant: TenantId::clone(&tenant),
        range,
        window,
        filters: filters(asked.filter.as_deref())?,
        group_by: asked
            .group_by
            .as_deref()
            .map(|names| names.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        source: source(asked.source.as_deref())?,
        page: UsagePage { after: page.after::<After>()?, limit: limit + 1 },
        meter,
    };
    let rows = query::usage(&context.platform.clickhouse, &dirty, &question).await.map_err(usage_problem)?;
    answer(rows, limit, &question.group_by).map(Json)
}

fn answer(mut rows: Vec<UsageRow>, limit: u32, names: &[String]) -> Result<Page<UsageWindow>, Problem> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = match rows.last() {
        Some(last) if more => Some(Cursor::encode(&(last.window_start, &last.group))?),
        _ => None,
    };
    let shown = |row: UsageRow| UsageWindow {
        window_start: row.window_start,
        window_end: row.window_end,
        group: names.iter().cloned().zip(row.group).collect(),
        value: row.value.map(canonical),
        count: row.count,
        unmetered: row.unmetered,
    };
    Ok(Page { data: rows.into_iter().map(shown).collect(), next_cursor })
}

async fn zone(tx: &mut sqlx::PgConnection, tenant: &TenantId, asked: Option<&str>) -> Result<Tz, Problem> {
    let name = match asked {
        Some(name) => Some(name.to_owned()),
        None => sqlx::query_scalar("SELECT zone FROM tenants WHERE tenant_id = $1")
            .bind(tenant.as_str())
            .fetch_optional(tx)
            .await
            .map_err(Problem::internal)?,
    };
    let Some(name) = name else { return Err(Problem::not_found()) };
    let unknown = || FieldError::new("time_zone", "is not an IANA time zone", "use a name like Europe/Berlin");
    name.parse::<Tz>().map_err(|_| unknown().into())
}

fn window(asked: Option<&str>, zone: Tz) -> Result<Window, Problem> {
    let size = match asked {
        None => return Ok(Window::None),
        Some("minute") => WindowSize::Minute,
        Some("hour") => WindowSize::Hour,
        Some("day") => WindowSize::Day,
        Some("month") => WindowSize::Month,
        Some(_) => {
            let way_out = "use minute, hour, day, month or billing_period";
            return Err(FieldError::new("window", "is no window", way_out).into());
        }
    };
    Ok(Window::Size(size, zone))
}

/// The bounds of the billing periods that touch the range.
async fn billing_bounds(
    tx: &mut sqlx::PgConnection,
    tenant: &TenantId,
    asked: &UsageParameters,
    range: Period,
) -> Result<Vec<DateTime<Utc>>, Problem> {
    let documents: Vec<String> = sqlx::query_scalar(
        "SELECT document FROM subscriptions WHERE tenant_id = $1 AND id = coalesce($2, id) ORDER BY starts_at DESC LIMIT 2",
    )
    .bind(tenant.as_str())
    .bind(asked.subscription_id.as_ref().map(SubscriptionId::as_str))
    .fetch_all(tx)
    .await
    .map_err(Problem::internal)?;
    let [document] = documents.as_slice() else {
        let way_out = "name a subscription of this tenant by `subscription_id=`";
        return Err(
            FieldError::new("subscription_id", format!("{} subscriptions fit", documents.len()), way_out).into()
        );
    };
    let subscription: talea_domain::subscription::Subscription =
        serde_json::from_str(document).map_err(Problem::internal)?;
    let periods = subscription
        .periods_between(range)
        .map_err(|error| Problem::from(FieldError::new("from", error.to_string(), "ask for a shorter range")))?;
    Ok(periods.iter().map(|period| period.start).chain(periods.last().map(|period| period.end)).collect())
}

fn filters(text: Option<&str>) -> Result<Vec<(String, Vec<String>)>, Problem> {
    let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in text.into_iter().flat_map(|text| text.split(',')) {
        let (name, value) = part.split_once(':').ok_or_else(|| {
            FieldError::new("filter", format!("`{part}` has no colon"), "write name:value, several joined by commas")
        })?;
        filters.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Ok(filters.into_iter().collect())
}

fn source(asked: Option<&str>) -> Result<Source, Problem> {
    match asked {
        None | Some("auto") => Ok(Source::Auto),
        Some("raw") => Ok(Source::RawOnly),
        Some(_) => Err(FieldError::new("source", "is no source", "use auto or raw").into()),
    }
}
