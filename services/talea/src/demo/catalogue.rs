//! What the demo's company sells, and to whom: five meters, three plans, forty tenants in six zones and three currencies.

use serde_json::{Value, json};

pub const API_REQUEST: &str = "com.example.api.request";
pub const COMPLETION: &str = "com.example.llm.completion";
pub const STORAGE: &str = "com.example.storage.sample";
pub const SEAT: &str = "com.example.seat.active";
/// No meter is for this type: such events are stored and visibly unmetered.
pub const PING: &str = "com.example.debug.ping";

/// Hours of grace in the demo's configuration.
pub const GRACE_HOURS: u64 = 24;

/// Amounts are texts, as everywhere: no float ever holds one.
const METERS: &str = r#"[
  {"key": "api_calls", "event_type": "com.example.api.request", "aggregation": "count", "unit": "calls",
   "dimensions": [{"name": "endpoint", "field": "/endpoint"}, {"name": "region", "field": "/region"}]},
  {"key": "tokens_in", "event_type": "com.example.llm.completion", "aggregation": "sum", "field": "/input_tokens",
   "unit": "tokens", "dimensions": [{"name": "model", "field": "/model"}]},
  {"key": "tokens_out", "event_type": "com.example.llm.completion", "aggregation": "sum", "field": "/output_tokens",
   "unit": "tokens", "dimensions": [{"name": "model", "field": "/model"}]},
  {"key": "storage", "event_type": "com.example.storage.sample", "aggregation": "max", "field": "/gigabytes",
   "unit": "GB", "dimensions": [{"name": "region", "field": "/region"}]},
  {"key": "seats", "event_type": "com.example.seat.active", "aggregation": "unique_count", "field": "/user", "unit": "seats"}
]"#;

const PLANS: &str = r#"[
  {"key": "free", "name": "Free", "prices": [],
   "limits": [{"feature": "api_calls", "meter": "api_calls", "amount": "400", "kind": "hard",
               "thresholds_percent": [80, 100], "period": "billing", "when_stale": "deny"}],
   "entitlements": [{"feature": "sso", "value": false}],
   "policy": {"on_exceeded": "suspend", "on_reset": "resume"}},
  {"key": "pay-as-you-go", "name": "Pay as you go",
   "prices": [
     {"key": "calls", "name": "API calls", "model": {"type": "per_unit", "meter": "api_calls",
      "unit_amount": {"USD": "0.0004", "EUR": "0.00037", "JPY": "0.06"}}},
     {"key": "tokens-in", "name": "Tokens in", "model": {"type": "per_unit", "meter": "tokens_in",
      "unit_amount": {"USD": "0.000003", "EUR": "0.0000028", "JPY": "0.00045"}}},
     {"key": "tokens-out", "name": "Tokens out", "model": {"type": "per_unit", "meter": "tokens_out",
      "unit_amount": {"USD": "0.000015", "EUR": "0.000014", "JPY": "0.00225"}}},
     {"key": "storage", "name": "Storage, highest", "model": {"type": "per_unit", "meter": "storage",
      "unit_amount": {"USD": "0.11", "EUR": "0.10", "JPY": "16.5"}, "included": "5"}}],
   "limits": [{"feature": "tokens_in", "meter": "tokens_in", "amount": "20000000", "kind": "soft",
               "thresholds_percent": [50, 80, 100], "period": "billing"}],
   "entitlements": [{"feature": "sso", "value": true}]},
  {"key": "committed", "name": "Committed",
   "prices": [
     {"key": "base", "name": "Base fee", "model": {"type": "flat", "timing": "in_advance",
      "amount": {"USD": "499", "EUR": "459", "JPY": "74000"}}},
     {"key": "calls", "name": "API calls", "model": {"type": "graduated", "meter": "api_calls", "included": "5000",
      "tiers": [{"up_to": "10000", "unit_amount": {"USD": "0.0004", "EUR": "0.00037", "JPY": "0.06"}},
                {"unit_amount": {"USD": "0.00025", "EUR": "0.00023", "JPY": "0.0375"}}]}},
     {"key": "tokens-in", "name": "Tokens in", "model": {"type": "graduated", "meter": "tokens_in", "included": "10000000",
      "tiers": [{"up_to": "20000000", "unit_amount": {"USD": "0.0000025", "EUR": "0.0000023", "JPY": "0.000375"}},
                {"up_to": "50000000", "unit_amount": {"USD": "0.000002", "EUR": "0.0000018", "JPY": "0.0003"}},
                {"unit_amount": {"USD": "0.0000015", "EUR": "0.0000014", "JPY": "0.000225"}}]}},
     {"key": "tokens-out", "name": "Tokens out", "model": {"type": "per_unit", "meter": "tokens_out",
      "unit_amount": {"USD": "0.00001", "EUR": "0.0000092", "JPY": "0.0015"}, "included": "1000000"}},
     {"key": "seats", "name": "Seats", "model": {"type": "per_unit", "meter": "seats",
      "unit_amount": {"USD": "12", "EUR": "11", "JPY": "1800"}, "included": "5"}}],
   "limits": [{"feature": "api_calls", "meter": "api_calls", "amount": "100000", "kind": "soft",
               "thresholds_percent": [10, 100], "period": "day"}],
   "entitlements": [{"feature": "sso", "value": true}, {"feature": "support", "value": "24/7"}]}
]"#;

/// Every event of a probe crosses one threshold more.
const PROBE_PLAN: &str = r#"{"key": "probe", "name": "Probe", "prices": [],
   "limits": [{"feature": "api_calls", "meter": "api_calls", "amount": "1", "kind": "soft",
               "thresholds_percent": [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000], "period": "billing"}]}"#;
/// Tenants of which the latency of signals is measured.
pub const PROBES: [&str; 3] = ["latency-probe-0", "latency-probe-1", "latency-probe-2"];
/// Events of each probe: as many as it has thresholds.
pub const PROBE_EVENTS: usize = 10;

const NAMES: [&str; 40] = [
    "acme-robotics",
    "blue-harbor",
    "cedar-analytics",
    "delta-labs",
    "ember-health",
    "fjord-media",
    "granite-bank",
    "halo-games",
    "indigo-travel",
    "juniper-legal",
    "kestrel-energy",
    "lumen-retail",
    "meadow-foods",
    "nimbus-cloud",
    "orchid-design",
    "pioneer-air",
    "quartz-mining",
    "river-logistics",
    "summit-sports",
    "tundra-research",
    "umber-textiles",
    "violet-beauty",
    "willow-schools",
    "xenon-optics",
    "yarrow-pharma",
    "zephyr-sailing",
    "amber-insure",
    "birch-homes",
    "coral-diving",
    "dune-solar",
    "echo-music",
    "fern-gardens",
    "glacier-water",
    "hazel-books",
    "iris-vision",
    "jade-jewels",
    "kelp-bio",
    "lotus-yoga",
    "maple-farms",
    "nova-space",
];
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Sydney"];
const CURRENCIES: [(&str, u32); 3] = [("USD", 2), ("EUR", 2), ("JPY", 0)];

/// One customer of the demo's company.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: &'static str,
    pub zone: &'static str,
    pub plan: &'static str,
    pub currency: &'static str,
    pub exponent: u32,
    /// Share of all usage: a few tenants make most of it, as everywhere.
    pub weight: u32,
}

pub fn tenants() -> Vec<Tenant> {
    let one = |(place, id): (usize, &&'static str)| {
        let (plan, weight) = match place % 5 {
            0 => ("committed", 400),
            1 | 2 => ("pay-as-you-go", 160),
            _ => ("free", 12),
        };
        let (currency, exponent) = CURRENCIES[place % CURRENCIES.len()];
        let weight = weight / (1 + place as u32 / 8) + 4;
        Tenant { id, zone: ZONES[place % ZONES.len()], plan, currency, exponent, weight }
    };
    NAMES.iter().enumerate().map(one).collect()
}

pub fn meters() -> Vec<Value> {
    serde_json::from_str(METERS).expect("a literal that the tests read")
}

pub fn plans() -> Vec<Value> {
    serde_json::from_str(PLANS).expect("a literal that the tests read")
}

pub fn probe_plan() -> Value {
    serde_json::from_str(PROBE_PLAN).expect("a literal that the tests read")
}

/// What the auditor is told about the contracts: the same documents that were posted.
pub fn setup(first_day: &str, from: &str, to: &str) -> Value {
    let plans: serde_json::Map<_, _> = plans()
        .into_iter()
        .chain([probe_plan()])
        .map(|plan| (plan["key"].as_str().unwrap_or_default().to_owned(), plan))
        .collect();
    let probe = |id| Tenant { id, zone: "UTC", plan: "probe", currency: "USD", exponent: 2, weight: 0 };
    let terms = |tenant: Tenant| {
        let terms = json!({ "zone": tenant.zone, "plan": tenant.plan, "currency": tenant.currency,
            "exponent": tenant.exponent, "start": first_day });
        (tenant.id.to_owned(), terms)
    };
    let tenants: serde_json::Map<_, _> = tenants().into_iter().chain(PROBES.map(probe)).map(terms).collect();
    json!({ "setup": { "grace_hours": GRACE_HOURS, "from": from, "to": to, "meters": meters(), "plans": plans, "tenants": tenants } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_literals_are_what_the_domain_takes() {
        for plan in plans().into_iter().chain([probe_plan()]) {
            let plan: talea_domain::plan::PlanVersion = serde_json::from_value(plan).expect("a plan");
            assert!(!plan.name.is_empty());
        }
        assert_eq!(meters().len(), 5);
        let tenants = tenants();
        assert_eq!(tenants.iter().map(|tenant| tenant.id).collect::<HashSet<_>>().len(), 40);
        assert_eq!(tenants.iter().map(|tenant| tenant.plan).collect::<HashSet<_>>().len(), 3);
    }
}
