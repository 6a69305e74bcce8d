//! From what can be read to what can be simulated: versions are given, names looked up, bounds checked. All faults of a
//! document are told at once, as far as one does not hide another.

use super::commands;
use super::document::{DEFAULT_DUE_DAYS, DEFAULT_GRACE_HOURS, DEFAULT_ISSUER, DEFAULT_SERIES, SimulationDocument};
use super::receivables;
use super::usage::UsageLog;
use super::wallets::{self, MAX_WALLETS, Wallets};
use super::work::Work;
use crate::discount::Coupon;
use crate::error::FieldError;
use crate::id::{CouponKey, MeterKey, PlanKey, TenantId};
use crate::invoice::InvoiceSettings;
use crate::invoice::{BillingTerms, MAX_DUE_DAYS};
use crate::meter::{MeterDefinition, NewMeter};
use crate::party::Party;
use crate::period::TimeZone;
use crate::plan::{PlanBook, PlanVersion};
use crate::tax::{TaxProfile, TaxSettings};
use chrono::{DateTime, Datelike, Duration, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// What one document may hold. The bounds keep a mistake from filling the memory; work beyond them is split by tenant.
pub const MAX_AS_OF: usize = 24;
pub const MAX_PLANS: usize = 1000;
pub const MAX_METERS: usize = 1000;
pub const MAX_TENANTS: usize = 10_000;
pub const MAX_COMMANDS: usize = 10_000;
pub const MAX_USAGE: usize = 100_000;
pub const MAX_COUPONS: usize = 1000;
/// Of one tenant: each is held against the others.
const MAX_TAX_PROFILES: usize = 100;
/// As the deployment's settings are bounded.
const MAX_GRACE_HOURS: u32 = 24 * 31;
/// The years in which a document's instants lie.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2199;

/// A document that is sound, except for what only its course can show.
pub(super) struct Prepared {
    pub settings: InvoiceSettings,
    pub grace_hours: u32,
    /// By key and version.
    pub plans: Vec<PlanVersion>,
    pub tenants: BTreeMap<TenantId, Tenant>,
    pub log: UsageLog,
    pub wallets: Wallets,
    /// Places in the document's timeline, in the order of their instants.
    pub order: Vec<usize>,
    /// Whether payments or dunning stand in the document, so that what becomes of invoices is followed.
    pub follows_payments: bool,
    /// Of whom neither plan nor tenant says otherwise.
    pub terms: BillingTerms,
    pub taxes: Option<TaxSettings>,
    pub coupons: BTreeMap<CouponKey, Coupon>,
    /// What is left of the document's steps.
    pub work: Work,
}

pub(super) struct Tenant {
    pub zone: TimeZone,
    pub bill_to: Party,
    pub terms: BillingTerms,
    /// At most one.
    pub tax: Vec<TaxProfile>,
}

impl Prepared {
    /// Takes plans and usage out of the document; its timeline stays.
    pub fn new(document: &mut SimulationDocument, work: Work) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        check_sizes(document, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        check_instants(document, &mut faults);
        let settings = settings(document, &mut faults);
        let outer = BillingTerms { due_days: None, dunning: document.dunning.take() };
        faults.extend(outer.check("").err());
        let follows_payments = receivables::are_followed(document, &outer);
        let mut plans = plans(std::mem::take(&mut document.plans), &mut faults);
        let tenants = tenants(document, &mut faults);
        let wallets = wallets::prepare(document, &tenants, &mut faults);
        let meters = meters(std::mem::take(&mut document.meters), &mut faults);
        for (index, plan) in plans.iter().enumerate() {
            let found = plan.unmeasured(|price| meters.get(price.meter()?));
            faults.extend(
                found.into_iter().map(|fault| FieldError { field: format!("/plans/{index}{}", fault.field), ..fault }),
            );
        }
        let log = UsageLog::new(std::mem::take(&mut document.usage), meters, &tenants, &work, &mut faults);
        let mut order: Vec<usize> = (0..document.timeline.len()).collect();
        order.sort_by_key(|place| document.timeline[*place].at);
        let grace_hours = document.grace_hours.unwrap_or(DEFAULT_GRACE_HOURS);
        let taxes = document.taxes.take();
        faults.extend(taxes.iter().flat_map(TaxSettings::validate).map(|fault| below("/taxes", fault)));
        let coupons = coupons(std::mem::take(&mut document.coupons), &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        plans.sort_by(|one, other| (&one.key, one.version).cmp(&(&other.key, other.version)));
        let terms = outer;
        Ok(Self {
            settings,
            grace_hours,
            plans,
            tenants,
            log,
            wallets,
            order,
            follows_payments,
            terms,
            taxes,
            coupons,
            work,
        })
    }

    /// The version asked for, else the highest.
    pub fn plan(&self, key: &PlanKey, version: Option<u32>) -> Option<&PlanVersion> {
        let most = (key, version.unwrap_or(u32::MAX));
        let after = self.plans.partition_point(|plan| (&plan.key, plan.version) <= most);
        let last = self.plans.get(after.checked_sub(1)?)?;
        (last.key == *key && version.is_none_or(|version| last.version == version)).then_some(last)
    }

    /// The terms of payment of a plan's invoices to a tenant.
    pub fn terms(&self, tenant: &Tenant, plan: Option<&PlanVersion>) -> BillingTerms {
        let of_plan = plan.map(BillingTerms::of_plan).unwrap_or_default();
        tenant.terms.clone().or(of_plan).or(self.terms.clone())
    }

    pub fn grace(&self, plan: &PlanVersion) -> Duration {
        Duration::hours(plan.grace_hours.unwrap_or(self.grace_hours).into())
    }
}

impl PlanBook for Prepared {
    fn version(&self, key: &PlanKey, version: u32) -> Option<&PlanVersion> {
        self.plan(key, Some(version))
    }
}

fn check_sizes(document: &SimulationDocument, faults: &mut Vec<FieldError>) {
    let mut check = |member: &str, found: usize, most: usize| {
        if found > most {
            let reason = format!("has {found} entries");
            faults.push(FieldError::new(member, reason, format!("send at most {most} in one document")));
        }
    };
    check("/as_of", document.as_of.len(), MAX_AS_OF);
    check("/plans", document.plans.len(), MAX_PLANS);
    check("/meters", document.meters.len(), MAX_METERS);
    check("/tenants", document.tenants.len(), MAX_TENANTS);
    check("/wallets", document.wallets.len(), MAX_WALLETS);
    check("/timeline", document.timeline.len(), MAX_COMMANDS);
    check("/usage", document.usage.len(), MAX_USAGE);
    check("/coupons", document.coupons.len(), MAX_COUPONS);
}

/// Instants of the timeline and the views; those of usage are the log's matter.
fn check_instants(document: &SimulationDocument, faults: &mut Vec<FieldError>) {
    if document.as_of.is_empty() {
        faults.push(FieldError::new("/as_of", "is empty", "name at least one instant"));
    }
    for (index, pair) in document.as_of.windows(2).enumerate() {
        if pair[1] <= pair[0] {
            let way_out = "list the instants in rising order";
            faults.push(FieldError::new(format!("/as_of/{}", index + 1), "is not after the one before", way_out));
        }
    }
    document.as_of.iter().for_each(|instant| check_year("/as_of", *instant, faults));
    for (index, entry) in document.timeline.iter().enumerate() {
        let below = |member: &str| format!("/timeline/{index}/{member}");
        check_year(below("at"), entry.at, faults);
        if let Some(start) = &entry.start {
            start.start_at.into_iter().for_each(|at| check_year(below("start/start_at"), at, faults));
            start.end_at.into_iter().for_each(|at| check_year(below("start/end_at"), at, faults));
            start.trial.iter().for_each(|trial| check_year(below("start/trial/until"), trial.until, faults));
            for (phase, at) in start.phases.iter().map(|phase| phase.at).enumerate() {
                check_year(below(&format!("start/phases/{phase}/at")), at, faults);
            }
        }
        if entry.cancel.as_ref().is_some_and(|cancel| cancel.mode.is_some() == cancel.effective_at.is_some()) {
            let way_out = "write exactly one of mode and effective_at";
            faults.push(FieldError::new(below("cancel"), "does not say when", way_out));
        }
        if let Some(apply) = &entry.apply_coupon {
            apply.from.into_iter().for_each(|at| check_year(below("apply_coupon/from"), at, faults));
        }
        commands::check(index, entry, faults);
    }
}

pub(super) fn check_year(field: impl Into<String>, instant: DateTime<Utc>, faults: &mut Vec<FieldError>) {
    if !YEARS.contains(&instant.year()) {
        let way_out = "use an instant from 1970 up to 2200";
        faults.push(FieldError::new(field, "is outside the years that are simulated", way_out));
    }
}

fn settings(document: &mut SimulationDocument, faults: &mut Vec<FieldError>) -> InvoiceSettings {
    let mut bound = |field: &str, given: Option<u32>, most: u32| {
        if given.is_some_and(|given| given > most) {
            faults.push(FieldError::new(field, "is too large", format!("write at most {most}")));
        }
    };
    bound("/grace_hours", document.grace_hours, MAX_GRACE_HOURS);
    bound("/due_days", document.due_days, MAX_DUE_DAYS);
    let series = document.series.take().unwrap_or_else(|| DEFAULT_SERIES.to_owned());
    if series.is_empty() || series.chars().count() > 64 || series.chars().any(char::is_control) {
        faults.push(FieldError::new("/series", "is not a name", "write 1 to 64 printable characters"));
    }
    let issuer = document.issuer.take().unwrap_or_else(|| Party::named(DEFAULT_ISSUER));
    faults.extend(issuer.check("/issuer").err());
    let due_days = document.due_days.unwrap_or(DEFAULT_DUE_DAYS);
    InvoiceSettings { issuer, series, due_days, empty_invoices: document.empty_invoices }
}

/// A version that is not given counts on from the highest before it.
fn plans(mut plans: Vec<PlanVersion>, faults: &mut Vec<FieldError>) -> Vec<PlanVersion> {
    let mut highest: BTreeMap<PlanKey, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (index, plan) in plans.iter_mut().enumerate() {
        let last = highest.entry(plan.key.clone()).or_default();
        if plan.version == 0 {
            plan.version = last.saturating_add(1);
        }
        *last = plan.version.max(*last);
        let found = plan.validate().into_iter();
        faults.extend(found.map(|fault| FieldError { field: format!("/plans/{index}{}", fault.field), ..fault }));
        if !seen.insert((plan.key.clone(), plan.version)) {
            let way_out = "give each version of a plan its own number, or none";
            faults.push(FieldError::new(format!("/plans/{index}/version"), "is used twice", way_out));
        }
    }
    plans
}

fn tenants(document: &mut SimulationDocument, faults: &mut Vec<FieldError>) -> BTreeMap<TenantId, Tenant> {
    let mut tenants = BTreeMap::new();
    for (index, tenant) in std::mem::take(&mut document.tenants).into_iter().enumerate() {
        let bill_to = tenant.bill_to.unwrap_or_else(|| Party::named(tenant.id.as_str()));
        faults.extend(bill_to.check(&format!("/tenants/{index}/bill_to")).err());
        let terms = BillingTerms { due_days: tenant.due_days, dunning: tenant.dunning };
        faults.extend(terms.check(&format!("/tenants/{index}")).err());
        let tax = profiles(index, tenant.tax, tenant.tax_profiles, faults);
        if tenants.insert(tenant.id, Tenant { zone: tenant.zone, bill_to, terms, tax }).is_some() {
            faults.push(twice(format!("/tenants/{index}/id")));
        }
    }
    tenants
}

/// Every profile of a tenant: what is known from the beginning, and what changes.
fn profiles(
    index: usize,
    first: Option<TaxProfile>,
    later: Vec<TaxProfile>,
    faults: &mut Vec<FieldError>,
) -> Vec<TaxProfile> {
    if later.len() > MAX_TAX_PROFILES {
        let reason = format!("has {} entries", later.len());
        let way_out = format!("send at most {MAX_TAX_PROFILES} of one tenant");
        faults.push(FieldError::new(format!("/tenants/{index}/tax_profiles"), reason, way_out));
        return Vec::new();
    }
    let places = first.is_some().then(|| "tax".to_owned());
    let places = places.into_iter().chain((0..).map(|place| format!("tax_profiles/{place}")));
    let mut profiles: Vec<TaxProfile> = Vec::with_capacity(later.len() + 1);
    for (profile, place) in first.into_iter().chain(later).zip(places) {
        let pointer = format!("/tenants/{index}/{place}");
        faults.extend(profile.validate().into_iter().map(|fault| below(pointer.clone(), fault)));
        if profiles.iter().any(|other| other.valid_from == profile.valid_from) {
            let way_out = "let each profile begin on a day of its own";
            faults.push(FieldError::new(format!("{pointer}/valid_from"), "is that of another profile", way_out));
        }
        profiles.push(profile);
    }
    profiles
}

fn meters(meters: Vec<NewMeter>, faults: &mut Vec<FieldError>) -> BTreeMap<MeterKey, MeterDefinition> {
    let mut defined = BTreeMap::new();
    for (index, meter) in meters.into_iter().enumerate() {
        let key = meter.key.clone();
        let definition = meter.defined(1, DateTime::UNIX_EPOCH);
        let found = definition.validate().err().into_iter().flatten();
        faults.extend(found.map(|fault| FieldError { field: format!("/meters/{index}{}", fault.field), ..fault }));
        if defined.insert(key, definition).is_some() {
            faults.push(twice(format!("/meters/{index}/key")));
        }
    }
    defined
}

fn coupons(coupons: Vec<Coupon>, faults: &mut Vec<FieldError>) -> BTreeMap<CouponKey, Coupon> {
    let mut offered = BTreeMap::new();
    for (index, coupon) in coupons.into_iter().enumerate() {
        faults.extend(coupon.validate().into_iter().map(|fault| below(format!("/coupons/{index}"), fault)));
        if offered.insert(coupon.key.clone(), coupon).is_some() {
            faults.push(twice(format!("/coupons/{index}/key")));
        }
    }
    offered
}

fn below(pointer: impl Display, fault: FieldError) -> FieldError {
    FieldError { field: format!("{pointer}{}", fault.field), ..fault }
}

fn twice(field: impl Display) -> FieldError {
    FieldError::new(field.to_string(), "is used twice", "give each its own")
}
