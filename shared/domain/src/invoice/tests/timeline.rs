//! What changes of a subscription make of its invoices: whatever was asked in whatever order, all documents together say what the
//! final timeline owes, as if it had been known from the beginning.

use super::*;
use crate::id::{AddOnKey, PlanKey, PriceKey};
use crate::period::Alignment;
use crate::plan::PlanBook;
use crate::subscription::{
    Alteration, ChangeTerms, Effective, InvoiceTiming, Proration, Quantities, SubscriptionError, TrialTerms,
    TrialUsage, next_moment, rerated,
};
use chrono::Duration;
use proptest::prelude::*;
use serde_json::json;

pub(super) fn plan(key: &str, version: u32, unit: &str, base: &str) -> PlanVersion {
    serde_json::from_value(json!({"key": key, "version": version, "name": key, "interval": {"unit": unit, "every": 1}, "prices": [
        {"key": "base", "name": "Base", "model": {"type": "flat", "timing": "in_advance", "amount": {"USD": base}}},
        {"key": "seats", "name": "Seats", "model": {"type": "flat", "timing": "in_advance", "amount": {"USD": "7.33"}}},
        {"key": "calls", "name": "Calls", "model": {"type": "graduated", "meter": "calls", "included": "10", "tiers": [
            {"up_to": "100", "unit_amount": {"USD": "0.37"}}, {"unit_amount": {"USD": "0.21"}, "flat_amount": {"USD": "5"}}]}},
        {"key": "support", "name": "Support", "model": {"type": "flat", "timing": "in_arrears", "amount": {"USD": "9.99"}}}]}))
    .unwrap()
}

fn plans() -> Vec<PlanVersion> {
    vec![
        plan("small", 1, "month", "29"),
        plan("small", 2, "month", "31"),
        plan("large", 1, "month", "199.99"),
        plan("yearly", 1, "year", "1999"),
        plan("weekly", 1, "week", "9.5"),
        serde_json::from_value(json!({"key": "backup", "version": 1, "name": "Backup", "prices": [
            {"key": "fee", "name": "Fee", "model": {"type": "flat", "timing": "in_advance", "amount": {"USD": "4.44"}}},
            {"key": "stored", "name": "Stored", "model": {"type": "per_unit", "meter": "stored", "unit_amount": {"USD": "0.013"}}}]}))
        .unwrap(),
    ]
}

/// A subscription with everything that it was billed.
#[derive(Clone)]
pub(super) struct Ledger {
    plans: Vec<PlanVersion>,
    state: Subscription,
    progress: Progress,
    pub lines: Vec<InvoiceLine>,
}

impl Ledger {
    fn new(plan: &str, start: DateTime<Utc>, calendar: Alignment, options: StartOptions) -> Self {
        Self::of(plans(), plan, start, calendar, options)
    }

    pub fn of(
        plans: Vec<PlanVersion>,
        plan: &str,
        start: DateTime<Utc>,
        calendar: Alignment,
        options: StartOptions,
    ) -> Self {
        let terms = StartTerms {
            id: SubscriptionId::parse("sub_1").unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            currency: Currency::parse("USD").unwrap(),
            zone: "Europe/Berlin".parse().unwrap(),
            calendar: Some(calendar),
            anchor_day: None,
            start_at: start,
            end_at: None,
            options,
        };
        let plan = plans.iter().find(|it| it.key.as_str() == plan).unwrap();
        let event = decide(None, &SubscriptionCommand::Start { terms, plan }, start).unwrap();
        let state = evolve(None, &event).unwrap();
        Self { plans, state, progress: Progress::default(), lines: Vec::new() }
    }

    /// The same subscription, as if everything had been known from the beginning and nothing were billed yet.
    pub fn known_from_the_start(&self) -> Self {
        Self { progress: Progress::default(), lines: Vec::new(), ..self.clone() }
    }

    pub fn change(&mut self, terms: ChangeTerms, now: DateTime<Utc>) -> Result<(), SubscriptionError> {
        let command = SubscriptionCommand::Change { terms, plans: &self.plans, billed_until: self.progress.until };
        let event = decide(Some(&self.state), &command, now)?;
        self.state = evolve(Some(self.state.clone()), &event).unwrap();
        Ok(())
    }

    fn bill(&mut self, moment: &BillMoment) -> Invoice {
        // Usage is some number that depends on the window alone.
        let figure = |need: &UsageNeed| {
            let seconds = (need.window.end - need.window.start).num_seconds();
            figures(&[("calls", &format!("{}", seconds / 7000 % 250))]).into_values().next().unwrap()
        };
        let usage = moment.usage.iter().map(|need| (need.clone(), figure(need))).collect();
        let billed: Vec<BilledLine> = self.lines.iter().filter_map(BilledLine::untaxed).collect();
        let invoice = assemble(&BillInput {
            subscription: &self.state,
            plans: &self.plans,
            moment,
            usage: &usage,
            billed: &billed,
            late: &BTreeMap::new(),
            terms: BillTerms::default(),
            settings: &settings(),
            bill_to: &Party::named("Acme Inc."),
        })
        .unwrap();
        verify(&invoice).unwrap();
        invoice
    }

    pub fn advance(&mut self, to: DateTime<Utc>) {
        while let Some(moment) = next_moment(&self.state, &self.plans, self.progress).unwrap() {
            if moment.at > to {
                break;
            }
            assert!(self.progress.until.is_none_or(|until| until < moment.at), "moments go back: {moment:?}");
            let invoice = self.bill(&moment);
            self.lines.extend(invoice.lines);
            self.progress = Progress { until: Some(moment.at), changes: self.state.changes.len() };
        }
    }

    /// Minor units for each price.
    pub fn sums(&self) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for line in &self.lines {
            let identity = line.lineage.identity().unwrap();
            let add_on = identity.add_on.map(|key| format!("{key}:")).unwrap_or_default();
            let own = identity.overridden_by.map(|number| format!("#{number}")).unwrap_or_default();
            let key = format!("{add_on}{}@{}/{}{own}", identity.plan, identity.plan_version, identity.price);
            *sums.entry(key).or_default() += line.amount.minor;
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    pub fn describe(&self) -> Vec<String> {
        self.lines.iter().map(|line| format!("{} = {}", line.description, line.amount)).collect()
    }
}

fn key(text: &str) -> PlanKey {
    PlanKey::parse(text).unwrap()
}

pub(super) fn to_plan(plan: &str, plan_version: u32) -> Alteration {
    Alteration::PlanChanged {
        plan: key(plan),
        plan_version,
        interval: crate::period::Interval::MONTHLY,
        quantities: Quantities::default(),
    }
}

pub(super) fn seats(quantity: i64) -> Quantities {
    [(PriceKey::parse("seats").unwrap(), Decimal::from(quantity))].into_iter().collect()
}

pub(super) fn by_second(what: Alteration, effective: Effective) -> ChangeTerms {
    ChangeTerms { what, effective, proration: Proration::BySecond, invoice: InvoiceTiming::Next }
}

#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub minutes: i64,
    pub what: Alteration,
    pub when: i64,
    pub proration: Proration,
    pub invoice: InvoiceTiming,
    /// How late the run comes, in hours.
    pub grace: i64,
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let add_on = || Some(AddOnKey::parse("extra").unwrap());
    let what = prop_oneof![
        4 => prop::sample::select(vec![("small", 1), ("small", 2), ("large", 1)]).prop_map(|(key, version)| to_plan(key, version)),
        1 => prop::sample::select(vec![("yearly", 1), ("weekly", 1)]).prop_map(|(key, version)| to_plan(key, version)),
        4 => (0..30_i64).prop_map(|count| Alteration::QuantityChanged { add_on: None, quantities: seats(count) }),
        2 => Just(Alteration::Paused),
        2 => Just(Alteration::Resumed),
        2 => Just(Alteration::AddOnAdded { add_on: add_on().unwrap(), plan: key("backup"), plan_version: 1, quantities: Quantities::default() }),
        1 => Just(Alteration::AddOnRemoved { add_on: add_on().unwrap() }),
        2 => prop::sample::select(vec![None, Some("10"), Some("0")]).prop_map(|amount| Alteration::PriceOverridden {
            add_on: None,
            price: PriceKey::parse("base").unwrap(),
            model: amount.map(|amount| serde_json::from_value(json!({"type": "flat", "timing": "in_advance", "amount": {"USD": amount}})).unwrap()),
        }),
        1 => Just(Alteration::PriceOverridden {
            add_on: None,
            price: PriceKey::parse("calls").unwrap(),
            model: Some(serde_json::from_value(json!({"type": "per_unit", "meter": "calls", "unit_amount": {"USD": "0.5"}})).unwrap()),
        }),
        1 => Just(Alteration::Ended),
        2 => Just(Alteration::Reactivated { ended_at: DateTime::UNIX_EPOCH }),
    ];
    // Now, at the period's end, or up to seventy days earlier or later.
    let when = prop_oneof![3 => Just(0), 1 => Just(i64::MAX), 3 => -100_000..100_000_i64];
    let proration = prop::sample::select(vec![Proration::None, Proration::ByDay, Proration::BySecond]);
    let invoice = prop::sample::select(vec![InvoiceTiming::Next, InvoiceTiming::Next, InvoiceTiming::Now]);
    (1..40_000_i64, what, when, proration, invoice, 0..100_i64).prop_map(
        |(minutes, what, when, proration, invoice, grace)| Operation { minutes, what, when, proration, invoice, grace },
    )
}

#[test]
fn a_price_of_the_new_plan_never_prices_the_one_before_it() {
    let mut ledger = Ledger::new("small", at("2023-11-30T23:00:00Z"), Alignment::Calendar, StartOptions::default());
    ledger.advance(at("2023-12-01T00:00:00Z"));
    // Charged from January on.
    let next_period = ChangeTerms { proration: Proration::None, ..by_second(to_plan("large", 1), Effective::Now) };
    ledger.change(next_period, at("2023-12-10T00:00:00Z")).unwrap();
    let model = json!({"type": "flat", "timing": "in_advance", "amount": {"USD": "60"}});
    let (price, model) = (PriceKey::parse("base").unwrap(), Some(serde_json::from_value(model).unwrap()));
    let own = Alteration::PriceOverridden { add_on: None, price, model };
    ledger.change(by_second(own, Effective::Now), at("2023-12-15T00:00:00Z")).unwrap();
    ledger.advance(at("2024-01-15T00:00:00Z"));
    let base: Vec<i64> =
        ledger.sums().into_iter().filter(|(key, _)| key.contains("/base")).map(|(_, sum)| sum).collect();
    assert_eq!(base, [6000, 2900], "{:#?}", ledger.describe());
}

#[test]
fn a_change_after_the_end_waits_for_no_period_that_is_not_served() {
    let mut ledger = Ledger::new("small", at("2023-11-30T23:00:00Z"), Alignment::Calendar, StartOptions::default());
    ledger.change(by_second(Alteration::Ended, Effective::Now), at("2024-01-10T00:00:00Z")).unwrap();
    ledger.advance(at("2024-01-11T00:00:00Z"));
    assert_eq!(next_moment(&ledger.state, &ledger.plans, ledger.progress).unwrap(), None);
    let effective = Effective::At(at("2024-01-05T00:00:00Z"));
    let change = ChangeTerms { proration: Proration::None, ..by_second(to_plan("large", 1), effective) };
    ledger.change(change, at("2024-01-12T00:00:00Z")).unwrap();
    let moment = next_moment(&ledger.state, &ledger.plans, ledger.progress).unwrap().unwrap();
    assert_eq!(moment.at, at("2024-01-12T00:00:00Z"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn all_documents_together_say_what_the_final_timeline_owes(
        operations in prop::collection::vec(operation(), 1..50),
        start in 0..3_000_000_i64,
        anniversary in any::<bool>(),
        trial in prop_oneof![2 => Just(None), 1 => (1..90_000_i64).prop_map(Some)],
    ) {
        let start = at("2023-09-20T07:13:00Z") + Duration::seconds(start);
        let calendar = if anniversary { Alignment::Anniversary } else { Alignment::Calendar };
        let trial = trial.map(|minutes| TrialTerms {
            until: start + Duration::minutes(minutes), usage: TrialUsage::Free, converts: true,
        });
        let mut ledger = Ledger::new("small", start, calendar, StartOptions { trial, ..StartOptions::default() });
        let mut now = start;
        for operation in &operations {
            now += Duration::minutes(operation.minutes);
            ledger.advance(now - Duration::hours(operation.grace));
            let effective = match operation.when {
                0 => Effective::Now,
                i64::MAX => Effective::PeriodEnd,
                minutes => Effective::At(now + Duration::minutes(minutes)),
            };
            let terms = ChangeTerms { what: operation.what.clone(), effective, proration: operation.proration, invoice: operation.invoice };
            // What is refused changes nothing.
            let before = ledger.state.clone();
            if ledger.change(terms, now).is_err() {
                prop_assert_eq!(&before, &ledger.state);
            }
        }
        let end = now + Duration::days(500);
        ledger.advance(end);
        let mut known = ledger.known_from_the_start();
        known.advance(end);
        prop_assert_eq!(ledger.sums(), known.sums(), "{:#?}\n{:#?}\n{:#?}", ledger.state, ledger.describe(), known.describe());
        // To rate everything again finds nothing.
        if let Some(moment) = rerated(&ledger.state, &ledger.plans, ledger.progress, start, 1).unwrap() {
            let again = ledger.bill(&moment);
            prop_assert!(again.lines.is_empty(), "{:#?}", again.lines);
        }
        // Stretches tile what is served.
        for pair in ledger.state.stretches(crate::subscription::Clock::Effective).windows(2) {
            prop_assert!(pair[0].span.end <= pair[1].span.start);
        }
    }

    #[test]
    fn a_change_that_is_changed_back_owes_nothing(
        start in 0..3_000_000_i64, minutes in 1..200_000_i64, pause in any::<bool>(), back in 0..600_i64,
        proration in prop::sample::select(vec![Proration::None, Proration::ByDay, Proration::BySecond]),
    ) {
        let start = at("2023-09-20T07:13:00Z") + Duration::seconds(start);
        let mut changed = Ledger::new("small", start, Alignment::Calendar, StartOptions::default());
        let mut plain = changed.clone();
        let now = start + Duration::minutes(minutes);
        changed.advance(now);
        let (there, again) = if pause {
            (Alteration::Paused, Alteration::Resumed)
        } else {
            (Alteration::QuantityChanged { add_on: None, quantities: seats(9) }, Alteration::QuantityChanged { add_on: None, quantities: seats(1) })
        };
        let terms = |what| ChangeTerms { what, effective: Effective::At(now), proration, invoice: InvoiceTiming::Next };
        changed.change(terms(there), now).unwrap();
        let later = now + Duration::minutes(back);
        changed.advance(later);
        changed.change(terms(again), later).unwrap();
        changed.advance(now + Duration::days(100));
        plain.advance(now + Duration::days(100));
        prop_assert_eq!(changed.sums(), plain.sums());
    }
}

#[test]
fn an_upgrade_is_credited_and_charged_by_its_policy() {
    let check = |proration, invoice, expect: &[&str]| {
        let mut ledger = Ledger::new("small", at("2023-10-31T23:00:00Z"), Alignment::Calendar, StartOptions::default());
        ledger.advance(at("2023-11-01T00:00:00Z"));
        // Noon of the 16th in Berlin.
        let now = at("2023-11-16T11:00:00Z");
        let terms = ChangeTerms { what: to_plan("large", 1), effective: Effective::Now, proration, invoice };
        ledger.change(terms, now).unwrap();
        let first = ledger.lines.len();
        ledger.advance(if invoice == InvoiceTiming::Now { now } else { at("2023-12-01T00:00:00Z") });
        let is_base = |line: &&String| line.contains("Base");
        assert_eq!(ledger.describe()[first..].iter().filter(is_base).collect::<Vec<_>>(), expect, "{proration:?}");
    };
    let december = "Base, 2023-12-01 to 2023-12-31 = 199.99 USD";
    check(Proration::None, InvoiceTiming::Next, &[december]);
    check(
        Proration::ByDay,
        InvoiceTiming::Next,
        &[
            december,
            "Not served: Base, 2023-11-16 to 2023-11-30 = -14.50 USD",
            "Changed: Base, 2023-11-16 to 2023-11-30 = 100.00 USD",
        ],
    );
    check(
        Proration::BySecond,
        InvoiceTiming::Now,
        &[
            "Not served: Base, 2023-11-16 to 2023-11-30 = -14.02 USD",
            "Changed: Base, 2023-11-16 to 2023-11-30 = 96.66 USD",
        ],
    );
}

#[test]
fn a_change_is_refused_where_it_makes_no_sense() {
    let mut ledger = Ledger::new("small", at("2023-10-31T23:00:00Z"), Alignment::Calendar, StartOptions::default());
    let now = at("2023-11-16T11:00:00Z");
    ledger.advance(now);
    let check = |what: Alteration, effective, expect: &str| {
        let error = ledger.clone().change(by_second(what, effective), now).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(to_plan("small", 1), Effective::Now, "it is so already");
    check(to_plan("huge", 1), Effective::Now, "no such plan");
    check(to_plan("yearly", 1), Effective::At(at("2023-10-31T23:00:00Z")), "its periods are fixed");
    check(Alteration::Resumed, Effective::Now, "it is so already");
    check(Alteration::Reactivated { ended_at: now }, Effective::Now, "no end that could be undone");
    check(Alteration::Paused, Effective::At(at("2023-10-01T00:00:00Z")), "does not run");
    check(Alteration::Ended, Effective::At(at("2023-10-01T00:00:00Z")), "starts at");
    check(Alteration::QuantityChanged { add_on: None, quantities: seats(-1) }, Effective::Now, "/quantities/seats");
    let unknown = [(PriceKey::parse("chairs").unwrap(), Decimal::ONE)].into_iter().collect();
    check(Alteration::QuantityChanged { add_on: None, quantities: unknown }, Effective::Now, "has no price chairs");
    let extra = AddOnKey::parse("extra").unwrap();
    check(Alteration::AddOnRemoved { add_on: extra.clone() }, Effective::Now, "no such add-on");
    let add = |plan: &str| Alteration::AddOnAdded {
        add_on: extra.clone(),
        plan: key(plan),
        plan_version: 1,
        quantities: Quantities::default(),
    };
    check(add("yearly"), Effective::Now, "periods of another length");
    let own = |model| Alteration::PriceOverridden {
        add_on: None,
        price: PriceKey::parse("base").unwrap(),
        model: Some(serde_json::from_value(model).unwrap()),
    };
    check(
        own(json!({"type": "flat", "timing": "in_arrears", "amount": {"USD": "1"}})),
        Effective::Now,
        "/model: is billed over",
    );
    check(
        own(json!({"type": "flat", "timing": "in_advance", "amount": {"EUR": "1"}})),
        Effective::Now,
        "/model: has no amount in USD",
    );
    assert!(ledger.plans.version(&key("small"), 3).is_none());
}
