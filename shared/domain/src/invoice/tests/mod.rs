//! Invoices from bill moments: what a line says, what an end credits, what late usage changes.

mod commitment;
mod corrections;
mod issued;
mod models;
mod taxes;
mod timeline;

use super::*;
use crate::id::MeterKey;
use crate::journal::CancelMode;
use crate::plan::PlanVersion;
use crate::subscription::{
    BillMoment, Progress, StartOptions, StartTerms, Subscription, SubscriptionCommand, TimelineError, UsageNeed,
    bill_moments, decide, evolve,
};
use crate::tax::{TaxAnswer, TaxTerms};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

/// One subscription of one plan, and everything it was billed so far.
struct Account {
    plan: PlanVersion,
    subscription: Subscription,
    invoices: Vec<Invoice>,
    terms_answered: Option<TaxAnswer>,
}

impl Account {
    fn new(plan: &str, start: &str, end: Option<&str>) -> Self {
        let plan: PlanVersion = serde_json::from_str(match plan {
            "tokens" => include_str!("../../../../../schemas/golden/plan/tokens.v1.json"),
            _ => include_str!("../../../../../schemas/golden/plan/committed.v1.json"),
        })
        .unwrap();
        let terms = StartTerms {
            id: SubscriptionId::parse("sub_1").unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            currency: Currency::parse("USD").unwrap(),
            zone: chrono_tz::UTC,
            calendar: None,
            anchor_day: None,
            start_at: at(start),
            end_at: end.map(at),
            options: StartOptions::default(),
        };
        let event = decide(None, &SubscriptionCommand::Start { terms, plan: &plan }, at(start)).unwrap();
        Self { subscription: evolve(None, &event).unwrap(), plan, invoices: Vec::new(), terms_answered: None }
    }

    fn cancel_now(&mut self, now: &str) {
        let billed_until = self.invoices.last().map(|invoice| invoice.billed_at);
        let command = SubscriptionCommand::Cancel { mode: CancelMode::Now, billed_until };
        let event = decide(Some(&self.subscription), &command, at(now)).unwrap();
        self.subscription = evolve(Some(self.subscription.clone()), &event).unwrap();
    }

    fn due(&self, as_of: &str) -> Vec<BillMoment> {
        let until = self.invoices.last().map(|invoice| invoice.billed_at);
        let progress = Progress { until, changes: self.subscription.changes.len() };
        bill_moments(&self.subscription, &self.plan, progress, at(as_of)).unwrap()
    }

    fn assemble(
        &self,
        moment: &BillMoment,
        usage: &[(&str, &str)],
        late: &[(Period, &[(&str, &str)])],
    ) -> Result<Invoice, InvoiceError> {
        let billed: Vec<BilledLine> = self.invoices.iter().flat_map(BilledLine::of).collect();
        let late = late.iter().flat_map(|(window, usage)| in_window(&figures(usage), *window)).collect();
        assemble(&BillInput {
            subscription: &self.subscription,
            plans: &self.plan,
            moment,
            usage: &needed(moment, &figures(usage)),
            billed: &billed,
            late: &late,
            settings: &settings(),
            bill_to: &Party::named("Acme Inc."),
            terms: BillTerms {
                taxes: self.terms_answered.as_ref().map_or(TaxTerms::None, TaxTerms::Answered),
                ..BillTerms::default()
            },
        })
    }

    /// Bills every moment due with the same usage, and keeps the invoices.
    fn bill(&mut self, as_of: &str, usage: &[(&str, &str)], late: &[(Period, &[(&str, &str)])]) {
        for moment in self.due(as_of) {
            let invoice = self.assemble(&moment, usage, late).unwrap();
            verify(&invoice).unwrap();
            self.invoices.push(invoice);
        }
    }

    fn lines(&self, index: usize) -> Vec<String> {
        self.invoices[index].lines.iter().map(|line| format!("{} = {}", line.description, line.amount)).collect()
    }
}

fn figures(usage: &[(&str, &str)]) -> BTreeMap<MeterKey, UsageFigure> {
    usage
        .iter()
        .map(|(meter, quantity)| {
            let quantity = decimal(quantity);
            let figure = UsageFigure {
                quantity,
                event_count: u64::from(!quantity.is_zero()),
                digest: "0123456789abcdef".repeat(4),
                cut: vec![17, 4],
                meter_version: 1,
                groups: Vec::new(),
                splits: Vec::new(),
                held: Vec::new(),
            };
            (MeterKey::parse(meter).unwrap(), figure)
        })
        .collect()
}

fn in_window(usage: &BTreeMap<MeterKey, UsageFigure>, window: Period) -> BTreeMap<UsageNeed, UsageFigure> {
    let of = |(meter, figure): (&MeterKey, &UsageFigure)| (UsageNeed { meter: meter.clone(), window }, figure.clone());
    usage.iter().map(of).collect()
}

/// The same figures in every window that a moment needs.
fn needed(moment: &BillMoment, usage: &BTreeMap<MeterKey, UsageFigure>) -> BTreeMap<UsageNeed, UsageFigure> {
    moment.usage.iter().flat_map(|need| in_window(usage, need.window)).collect()
}

fn settings() -> InvoiceSettings {
    InvoiceSettings {
        issuer: Party {
            name: "Example Cloud GmbH".into(),
            address: vec!["Hauptstrasse 1".into(), "10115 Berlin".into()],
            country: Some("DE".into()),
            email: None,
            tax_id: Some("DE123456789".into()),
        },
        series: "INV".into(),
        due_days: 14,
        empty_invoices: false,
    }
}

const NOVEMBER: (&str, &str) = ("2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z");

fn november() -> Period {
    Period::new(at(NOVEMBER.0), at(NOVEMBER.1))
}

/// A month of the inference traces: 3.00 USD a million tokens in, 15.00 a million out.
fn trace(tokens_in: &str, tokens_out: &str) -> Account {
    let mut account = Account::new("tokens", NOVEMBER.0, Some(NOVEMBER.1));
    account.bill("2023-12-02T00:00:00Z", &[("tokens_in", tokens_in), ("tokens_out", tokens_out)], &[]);
    account
}

#[test]
fn a_month_of_tokens_is_one_invoice_of_two_lines_that_explain_themselves() {
    let check = |tokens_in, tokens_out, total, lines: &[&str]| {
        let account = trace(tokens_in, tokens_out);
        assert_eq!(account.invoices.len(), 1);
        assert_eq!(account.invoices[0].total, usd(total));
        assert_eq!(account.invoices[0].period, november());
        assert_eq!(account.lines(0), lines);
    };
    let code = ["Tokens in, 2023-11-01 to 2023-11-30 = 54.18 USD", "Tokens out, 2023-11-01 to 2023-11-30 = 3.69 USD"];
    check("18059974", "245896", 5787, &code);
    let conv = ["Tokens in, 2023-11-01 to 2023-11-30 = 67.09 USD", "Tokens out, 2023-11-01 to 2023-11-30 = 61.33 USD"];
    check("22361870", "4088665", 12842, &conv);
    assert_eq!(
        trace("18059974", "245896").invoices[0].lines[0].explanation,
        ["18,059,974 x 0.000003 USD = 54.179922 USD", "54.179922 USD rounded once to 54.18 USD"]
    );
}

#[test]
fn advance_and_arrears_meet_at_the_bound_and_a_late_start_is_prorated() {
    let mut account = Account::new("committed", "2023-11-16T12:00:00Z", None);
    account.bill("2023-12-15T00:00:00Z", &[("api_calls", "12500"), ("tokens_in", "2500000")], &[]);
    // Half of 16 November and the 14 days after it: 14.5 of 30.
    assert_eq!(account.lines(0), ["Base fee, 2023-11-16 to 2023-11-30 = 23.68 USD"]);
    assert_eq!(
        account.lines(1),
        [
            "Base fee, 2023-12-01 to 2023-12-31 = 49.00 USD",
            "API calls, 2023-11-16 to 2023-11-30 = 2.50 USD",
            "Tokens in, 2023-11-16 to 2023-11-30 = 9.00 USD",
            "Support, 2023-11-16 to 2023-11-30 = 4.83 USD",
        ]
    );
    assert_eq!(account.invoices[1].total, usd(6533));
    assert_ne!(account.invoices[0].id, account.invoices[1].id);
}

#[test]
fn a_period_without_amount_is_an_empty_invoice() {
    let account = trace("0", "0");
    assert!(account.invoices[0].is_empty());
    assert_eq!(account.invoices[0].lines, vec![]);
    // Events that cost nothing are still named.
    let account = trace("1", "0");
    assert!(account.invoices[0].is_empty());
    assert_eq!(account.invoices[0].lines.len(), 1);
    assert!(!trace("5000", "0").invoices[0].is_empty());
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let bytes = || serde_json::to_vec(&trace("18059974", "245896").invoices[0]).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn what_is_missing_or_foreign_is_named() {
    let account = Account::new("tokens", NOVEMBER.0, Some(NOVEMBER.1));
    let moment = account.due("2023-12-01T00:00:00Z").remove(0);
    let missing = account.assemble(&moment, &[("tokens_in", "1")], &[]);
    assert_eq!(missing, Err(InvoiceError::UsageMissing { meter: MeterKey::parse("tokens_out").unwrap() }));
    let mut other = Account::new("tokens", NOVEMBER.0, Some(NOVEMBER.1));
    other.plan.version = 2;
    let unknown = other.assemble(&moment, &[], &[]);
    assert!(
        matches!(unknown, Err(InvoiceError::Timeline(TimelineError::PlanUnknown { version: 1, .. }))),
        "{unknown:?}"
    );
    let huge = account.assemble(&moment, &[("tokens_in", "0.123456789012345678901234"), ("tokens_out", "1")], &[]);
    assert!(matches!(huge, Err(InvoiceError::Rating(_))));
}
