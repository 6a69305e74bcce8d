//! One entry of the document's usage: a quantity or an event, with when it happened and when it became known.

use super::document::{UsageInput, UsageVoid};
use super::prepare::{Tenant, check_year};
use crate::error::FieldError;
use crate::event::{EventLimits, Identity, UsageEvent, hash_128, identity_of};
use crate::id::{MeterKey, TenantId};
use crate::meter::{Aggregation, MeterDefinition};
use crate::quantity::{canonical, to_clickhouse};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The source of the identities of quantities, which have none of their own.
const SOURCE: &str = "simulation";

pub(super) struct Entry {
    /// Its place in the document.
    pub place: usize,
    pub tenant: TenantId,
    pub time: DateTime<Utc>,
    pub until: Option<DateTime<Utc>>,
    pub known_at: DateTime<Utc>,
    pub identity: Identity,
    pub body_hash: u128,
    pub content: Content,
    /// The meters that read a value from it.
    pub meters: Vec<MeterKey>,
    /// The entry that voids it, by its place in the log.
    pub voided: Option<usize>,
}

pub(super) enum Content {
    Quantity {
        meter: MeterKey,
        quantity: Decimal,
        dimensions: BTreeMap<String, String>,
    },
    Event(Box<UsageEvent>),
    /// Takes the entry of this identity out of the count; its place in the log once it is found.
    Void {
        of: Option<usize>,
    },
    /// An event that is not counted, and why.
    Refused(Cow<'static, str>),
}

/// Reads an entry; the error's field is a pointer into the document.
pub(super) fn read(
    place: usize,
    input: UsageInput,
    meters: &BTreeMap<MeterKey, MeterDefinition>,
    tenants: &BTreeMap<TenantId, Tenant>,
) -> Result<Entry, FieldError> {
    let known_at = input.known_at;
    let below = |fault: FieldError| FieldError { field: format!("/usage/{place}{}", fault.field), ..fault };
    let read = match (&input.event, &input.void) {
        (Some(event), _) => of_event(event, &input),
        (None, Some(void)) => of_void(void, &input),
        (None, None) => of_quantity(place, input, meters),
    };
    let mut entry = read.map_err(below)?;
    entry.place = place;
    entry.known_at = known_at.unwrap_or(entry.known_at);
    check(&entry, tenants).map_err(below)?;
    Ok(entry)
}

fn check(entry: &Entry, tenants: &BTreeMap<TenantId, Tenant>) -> Result<(), FieldError> {
    if !tenants.contains_key(&entry.tenant) {
        let field = match entry.content {
            Content::Event(_) => "/event/tenantid",
            Content::Void { .. } => "/void/tenant",
            _ => "/tenant",
        };
        let reason = format!("{} is not a tenant of the document", entry.tenant);
        return Err(FieldError::new(field, reason, "add it to tenants, or check its id"));
    }
    let mut faults = Vec::new();
    check_year(if entry.until.is_some() { "/from" } else { "/at" }, entry.time, &mut faults);
    entry.until.into_iter().for_each(|until| check_year("/to", until, &mut faults));
    check_year("/known_at", entry.known_at, &mut faults);
    if entry.known_at < entry.until.unwrap_or(entry.time) {
        let way_out = "leave it out, or write an instant at which the usage has happened";
        faults.push(FieldError::new("/known_at", "is before the usage", way_out));
    }
    faults.into_iter().next().map_or(Ok(()), Err)
}

/// What stands beside an event or a void, which say it themselves, is a slip.
fn stands_alone(input: &UsageInput, more: (&'static str, bool)) -> Result<(), FieldError> {
    let others = [
        more,
        ("/tenant", input.tenant.is_some()),
        ("/meter", input.meter.is_some()),
        ("/at", input.at.is_some()),
        ("/from", input.from.is_some()),
        ("/to", input.to.is_some()),
        ("/quantity", input.quantity.is_some()),
        ("/dimensions", !input.dimensions.is_empty()),
    ];
    if let Some((field, _)) = others.into_iter().find(|(_, is_there)| *is_there) {
        let reason = "stands beside an event or a void, which says it itself";
        return Err(FieldError::new(field, reason, "leave it out"));
    }
    Ok(())
}

fn of_void(void: &UsageVoid, input: &UsageInput) -> Result<Entry, FieldError> {
    stands_alone(input, ("/event", false))?;
    let known_at = input.known_at.ok_or_else(|| {
        FieldError::new("/known_at", "is missing", "write when the void came to Talea: it counts from there")
    })?;
    if void.reason.trim().is_empty() {
        return Err(FieldError::new("/void/reason", "is empty", "write why the usage is voided"));
    }
    Ok(Entry {
        place: 0,
        tenant: void.tenant.clone(),
        time: known_at,
        until: None,
        known_at,
        identity: identity_of(&void.tenant, &void.source, &void.id),
        body_hash: 0,
        content: Content::Void { of: None },
        meters: Vec::new(),
        voided: None,
    })
}

fn of_event(raw: &RawValue, input: &UsageInput) -> Result<Entry, FieldError> {
    stands_alone(input, ("/void", input.void.is_some()))?;
    let event = UsageEvent::parse_structured(raw.get().as_bytes(), None, &EventLimits::default())
        .map_err(|fault| FieldError { field: format!("/event{}", fault.field), ..fault })?;
    Ok(Entry {
        place: 0,
        tenant: event.tenant.clone(),
        time: event.time,
        until: None,
        known_at: event.time,
        identity: event.identity,
        body_hash: event.body_hash,
        content: Content::Event(Box::new(event)),
        meters: Vec::new(),
        voided: None,
    })
}

fn of_quantity(
    place: usize,
    input: UsageInput,
    meters: &BTreeMap<MeterKey, MeterDefinition>,
) -> Result<Entry, FieldError> {
    let missing = |field: &str| {
        let way_out = "write tenant, meter and quantity with at, or with from and to; or write an event";
        FieldError::new(field, "is missing", way_out)
    };
    let tenant = input.tenant.ok_or_else(|| missing("/tenant"))?;
    let meter = input.meter.ok_or_else(|| missing("/meter"))?;
    let quantity = input.quantity.ok_or_else(|| missing("/quantity"))?;
    let (time, until) = match (input.at, input.from, input.to) {
        (Some(at), None, None) => (at, None),
        (None, Some(from), Some(to)) if from < to => (from, Some(to)),
        (None, Some(_), Some(_)) => {
            return Err(FieldError::new("/to", "is not after from", "let the span end after it begins"));
        }
        (None, Some(_), None) => return Err(missing("/to")),
        (None, None, Some(_)) => return Err(missing("/from")),
        (None, None, None) => return Err(missing("/at")),
        (Some(_), ..) => {
            return Err(FieldError::new("/at", "stands beside a span", "write at, or from and to"));
        }
    };
    if to_clickhouse(quantity).is_err() {
        return Err(FieldError::new("/quantity", "does not fit", "write at most 20 digits and 18 decimals"));
    }
    if meters.get(&meter).is_some_and(|meter| meter.aggregation == Aggregation::UniqueCount) {
        let way_out = "send events, or leave the definition of the meter out, so that its quantities add";
        return Err(FieldError::new("/meter", "counts distinct values, which no quantity tells", way_out));
    }
    if let Some(name) = meters.get(&meter).and_then(|meter| unknown_dimension(meter, &input.dimensions)) {
        let way_out = "name a dimension of the meter's definition, or add it there";
        return Err(FieldError::new(format!("/dimensions/{name}"), "is no dimension of the meter", way_out));
    }
    let mut body = vec![meter.as_str().to_owned(), canonical(quantity)];
    body.extend(input.dimensions.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
    let body: Vec<&[u8]> = body.iter().map(String::as_bytes).collect();
    Ok(Entry {
        place,
        time,
        until,
        known_at: until.unwrap_or(time),
        identity: identity_of(&tenant, SOURCE, &format!("/usage/{place}")),
        body_hash: hash_128(&body),
        tenant,
        content: Content::Quantity { meter, quantity, dimensions: input.dimensions },
        meters: Vec::new(),
        voided: None,
    })
}

fn unknown_dimension<'a>(meter: &MeterDefinition, dimensions: &'a BTreeMap<String, String>) -> Option<&'a String> {
    dimensions.keys().find(|name| !meter.dimensions.iter().any(|known| known.name == **name))
}

impl Entry {
    /// Why no meter counts it; none where one does.
    pub fn refusal(&self) -> Option<&str> {
        match &self.content {
            Content::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}
