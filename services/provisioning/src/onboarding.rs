//! What onboarding asks for, what it decides, and how a repeated request is told from a different one. Pure.

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use talea_domain::error::FieldError;
use talea_domain::id::{ApiKeyId, PlanKey, SubscriptionId, TenantId, derive_bits, prefixed};
use talea_domain::money::Currency;
use talea_domain::party::{MAX_LINE_CHARS, Party};
use talea_domain::period::Alignment;
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::{
    StartOptions, StartTerms, Subscription, SubscriptionCommand, SubscriptionError, decide,
};
use talea_domain::tenant::Scope;

/// The most keys made in one go.
const MAX_KEYS: usize = 20;

/// A tenant as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Onboarding {
    /// Your own name for the customer; it leads every key of every table.
    pub tenant_id: TenantId,
    /// The customer's name, for people. Printed on invoices unless `bill_to` says another.
    pub name: String,
    /// The customer's zone: its days, months and billing periods are counted there.
    #[schema(value_type = String, example = "Europe/Berlin")]
    pub zone: chrono_tz::Tz,
    pub plan: PlanKey,
    /// The newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u32>,
    #[schema(value_type = String, example = "USD")]
    pub currency: Currency,
    /// Whom invoices are addressed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill_to: Option<Party>,
    /// When the subscription starts; may lie in the past. Now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<DateTime<Utc>>,
    /// When it ends, exclusive, where that is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_at: Option<DateTime<Utc>>,
    /// Where its periods begin; as the plan says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Alignment>,
    /// API keys to make, bound to the tenant; one that may send events and read when absent.
    #[serde(default = "default_keys")]
    pub keys: Vec<WantedKey>,
}

/// An API key that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedKey {
    /// For people, for example `app server`.
    pub label: String,
    pub scopes: Vec<Scope>,
}

fn default_keys() -> Vec<WantedKey> {
    vec![WantedKey { label: "default".to_owned(), scopes: vec![Scope::Ingest, Scope::Read] }]
}

/// What is there of a tenant, as far as onboarding made it.
#[derive(Debug, Clone)]
pub struct Existing {
    pub zone: chrono_tz::Tz,
    /// None once it was erased.
    pub party: Option<Party>,
    pub subscription: Option<Subscription>,
    /// Of the keys made at onboarding.
    pub keys: Vec<(ApiKeyId, WantedKey)>,
}

impl Onboarding {
    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut faults = Vec::new();
        faults.extend(check_line("/name", &self.name).err());
        faults.extend(self.bill_to.as_ref().and_then(|party| party.check("/bill_to").err()));
        if self.keys.len() > MAX_KEYS {
            let reason = format!("has {} entries", self.keys.len());
            faults.push(FieldError::new(
                "/keys",
                reason,
                format!("ask for at most {MAX_KEYS}; more can be made later"),
            ));
        }
        let mut labels = BTreeSet::new();
        for (index, key) in self.keys.iter().enumerate() {
            faults.extend(key.check(&format!("/keys/{index}")).err());
            if !labels.insert(&key.label) {
                let way_out = "give each key of one request its own label";
                faults.push(FieldError::new(format!("/keys/{index}/label"), "is used twice", way_out));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Whom documents are addressed to.
    pub fn party(&self) -> Party {
        self.bill_to.clone().unwrap_or_else(|| Party::named(self.name.clone()))
    }

    /// The subscription that onboarding starts.
    pub fn subscribe(&self, plan: &PlanVersion, now: DateTime<Utc>) -> Result<Subscription, SubscriptionError> {
        use talea_domain::journal::JournalEvent;
        let terms = StartTerms {
            id: subscription_id(&self.tenant_id),
            tenant: self.tenant_id.clone(),
            currency: self.currency,
            zone: self.zone,
            calendar: self.calendar,
            anchor_day: None,
            // As precise as the database keeps it, so that a repeated request compares equal.
            start_at: self.start_at.unwrap_or(now).trunc_subsecs(6),
            end_at: self.end_at.map(|end| end.trunc_subsecs(6)),
            options: StartOptions::default(),
        };
        match decide(None, &SubscriptionCommand::Start { terms, plan }, now)? {
            JournalEvent::SubscriptionStarted(subscription) => Ok(subscription),
            _ => Err(SubscriptionError::Unknown),
        }
    }

    /// The field in which this request differs from what is there; none for a repetition. What the request leaves open
    /// does not differ, nor does what changed by itself later (a cancelled subscription, a revoked key, erased data).
    pub fn difference(&self, existing: &Existing) -> Option<&'static str> {
        let subscription = existing.subscription.as_ref();
        let differs = |asked: bool| subscription.is_none() || asked;
        let at = |subscription: Option<&Subscription>| subscription.map(|it| it.started_at);
        let checks = [
            ("/zone", self.zone != existing.zone),
            ("/bill_to", existing.party.as_ref().is_some_and(|party| *party != self.party())),
            ("/plan", differs(subscription.is_some_and(|it| it.plan != self.plan))),
            (
                "/plan_version",
                self.plan_version.is_some() && subscription.map(|it| it.plan_version) != self.plan_version,
            ),
            ("/currency", subscription.map(|it| it.currency) != Some(self.currency)),
            ("/start_at", self.start_at.is_some() && at(subscription) != self.start_at.map(|at| at.trunc_subsecs(6))),
            ("/calendar", self.calendar.is_some() && subscription.map(|it| it.calendar) != self.calendar),
            ("/keys", self.keys.iter().any(|wanted| !self.has_key(existing, wanted))),
        ];
        checks.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
    }

    fn has_key(&self, existing: &Existing, wanted: &WantedKey) -> bool {
        let id = ApiKeyId::parse(&prefixed("key", key_bits(&self.tenant_id, &wanted.label)));
        id.is_ok_and(|id| existing.keys.iter().any(|(key, made)| *key == id && made.has_scopes_of(wanted)))
    }
}

impl WantedKey {
    pub fn check(&self, pointer: &str) -> Result<(), FieldError> {
        check_line(&format!("{pointer}/label"), &self.label)?;
        if self.scopes.is_empty() {
            let way_out = "name one or more of ingest, read, finance, admin";
            return Err(FieldError::new(format!("{pointer}/scopes"), "is empty", way_out));
        }
        Ok(())
    }

    fn has_scopes_of(&self, other: &Self) -> bool {
        let set = |key: &Self| key.scopes.iter().copied().collect::<BTreeSet<_>>();
        set(self) == set(other)
    }
}

/// The id of the subscription that onboarding starts: derived, so that a repeated request finds it.
pub fn subscription_id(tenant: &TenantId) -> SubscriptionId {
    let text = prefixed("sub", derive_bits("onboarding-subscription", &[tenant.as_str()]));
    SubscriptionId::parse(&text).expect("a prefix and 26 letters and digits are a key")
}

/// The id bits of a key that onboarding makes. The secret is drawn, never derived.
pub fn key_bits(tenant: &TenantId, label: &str) -> u128 {
    derive_bits("onboarding-key", &[tenant.as_str(), label])
}

fn check_line(field: &str, text: &str) -> Result<(), FieldError> {
    if text.trim().is_empty() || text.chars().count() > MAX_LINE_CHARS || text.chars().any(char::is_control) {
        let way_out = format!("send 1 to {MAX_LINE_CHARS} characters without control characters");
        return Err(FieldError::new(field, "is not a line of text", way_out));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
