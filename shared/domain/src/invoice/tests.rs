//! Invoices from bill moments: what a line says, what an end credits, what late usage changes.

use super::*;
use crate::id::MeterKey;
use crate::journal::{CancelMode, InvoiceSettings};
use crate::plan::PlanVersion;
use crate::subscription::{
    BillMoment, StartTerms, Subscription, SubscriptionCommand, after_end, bill_moments, decide, evolve,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const GOLDEN_DRAFT: &str = include_str!("../../../../schemas/golden/invoice/draft.v1.json");
const GOLDEN_FINALIZED: &str = include_str!("../../../../schemas/golden/invoice/finalized.v1.json");

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
}

impl Account {
    fn new(plan: &str, start: &str, end: Option<&str>) -> Self {
        let plan: PlanVersion = serde_json::from_str(match plan {
            "tokens" => include_str!("../../../../schemas/golden/plan/tokens.v1.json"),
            _ => include_str!("../../../../schemas/golden/plan/committed.v1.json"),
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
        };
        let event = decide(None, &SubscriptionCommand::Start { terms, plan: &plan }, at(start)).unwrap();
        Self { subscription: evolve(None, &event).unwrap(), plan, invoices: Vec::new() }
    }

    fn cancel_now(&mut self, now: &str) {
        let billed_until = self.invoices.last().map(|invoice| invoice.billed_at);
        let command = SubscriptionCommand::Cancel { mode: CancelMode::Now, billed_until };
        let event = decide(Some(&self.subscription), &command, at(now)).unwrap();
        self.subscription = evolve(Some(self.subscription.clone()), &event).unwrap();
    }

    fn due(&self, as_of: &str) -> Vec<BillMoment> {
        let after = self.invoices.last().map(|invoice| invoice.billed_at);
        bill_moments(&self.subscription, &self.plan, after, at(as_of)).unwrap()
    }

    fn assemble(
        &self,
        moment: &BillMoment,
        usage: &[(&str, &str)],
        late: &[(Period, &[(&str, &str)])],
    ) -> Result<Invoice, InvoiceError> {
        let billed: Vec<BilledLine> =
            self.invoices.iter().flat_map(|invoice| &invoice.lines).map(BilledLine::from).collect();
        let remeasured: Vec<Remeasured<'_>> = late
            .iter()
            .map(|(window, usage)| Remeasured { window: *window, plan: &self.plan, usage: figures(usage) })
            .collect();
        assemble(&BillInput {
            subscription: &self.subscription,
            plan: &self.plan,
            moment,
            usage: &figures(usage),
            billed: &billed,
            remeasured: &remeasured,
            settings: &settings(),
            bill_to: &Party::named("Acme Inc."),
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
            };
            (MeterKey::parse(meter).unwrap(), figure)
        })
        .collect()
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
fn a_cancellation_credits_exactly_what_was_not_served() {
    let usage = [("api_calls", "0"), ("tokens_in", "0")];
    let mut account = Account::new("committed", "2023-12-01T00:00:00Z", None);
    account.bill("2023-12-02T00:00:00Z", &usage, &[]);
    account.cancel_now("2023-12-15T00:00:00Z");
    account.bill("2024-06-01T00:00:00Z", &usage, &[]);
    assert_eq!(account.lines(0), ["Base fee, 2023-12-01 to 2023-12-31 = 49.00 USD"]);
    let last =
        ["Support, 2023-12-01 to 2023-12-14 = 4.52 USD", "Not served: Base fee, 2023-12-15 to 2023-12-31 = -26.87 USD"];
    assert_eq!(account.lines(1), last);
    assert_eq!(account.invoices.len(), 2);
    assert_eq!(account.invoices[1].lines[1].kind, LineKind::ProrationCredit);
    assert_eq!(
        account.invoices[1].lines[1].explanation,
        [
            "1 x 49.00 USD x 14/31 of the period = 22.129032258064516129 USD",
            "22.129032258064516129 USD rounded once to 22.13 USD",
            "22.13 USD less 49.00 USD billed so far = -26.87 USD",
        ]
    );

    // Known before it was billed, the end shortens the charge, and there is nothing to credit.
    let mut account = Account::new("committed", "2023-12-01T00:00:00Z", Some("2023-12-15T00:00:00Z"));
    account.bill("2024-06-01T00:00:00Z", &usage, &[]);
    assert_eq!(account.lines(0), ["Base fee, 2023-12-01 to 2023-12-14 = 22.13 USD"]);
    assert_eq!(account.lines(1), ["Support, 2023-12-01 to 2023-12-14 = 4.52 USD"]);
}

#[test]
fn late_usage_is_the_difference_to_everything_billed_for_its_period() {
    let mut account = Account::new("tokens", NOVEMBER.0, None);
    let usage = [("tokens_in", "1000000"), ("tokens_out", "0")];
    account.bill("2023-12-01T00:00:00Z", &usage, &[]);
    let late: &[(&str, &str)] = &[("tokens_in", "1500000"), ("tokens_out", "100")];
    account.bill("2024-01-01T00:00:00Z", &usage, &[(november(), late)]);
    // The second adjustment knows the first; 100 tokens out are 0.0015 USD and change nothing.
    let later: &[(&str, &str)] = &[("tokens_in", "900000")];
    account.bill("2024-02-01T00:00:00Z", &usage, &[(november(), later)]);
    account.bill("2024-03-01T00:00:00Z", &usage, &[(november(), later)]);
    assert_eq!(account.lines(0), ["Tokens in, 2023-11-01 to 2023-11-30 = 3.00 USD"]);
    assert_eq!(account.lines(1)[1..], ["Late usage: Tokens in, 2023-11-01 to 2023-11-30 = 1.50 USD"]);
    assert_eq!(account.lines(2)[1..], ["Late usage: Tokens in, 2023-11-01 to 2023-11-30 = -1.80 USD"]);
    assert_eq!(account.lines(3).len(), 1, "unchanged usage makes no line");
    let line = &account.invoices[2].lines[1];
    assert_eq!((line.kind, line.quantity), (LineKind::Adjustment, decimal("-600000")));
    assert_eq!(line.lineage.previous_quantity, Some(decimal("1500000")));
    assert_eq!(line.lineage.measured_quantity, Some(decimal("900000")));
    assert_eq!(
        line.explanation,
        [
            "usage billed so far 1,500,000, now 900,000",
            "900,000 x 0.000003 USD = 2.70 USD",
            "2.70 USD less 4.50 USD billed so far = -1.80 USD",
        ]
    );
}

#[test]
fn late_usage_after_the_end_has_a_document_of_its_own() {
    let account = trace("1000000", "0");
    let end = account.subscription.ended_at.unwrap();
    let moment = after_end(&account.subscription, end, 1);
    let late: &[(&str, &str)] = &[("tokens_in", "2000000")];
    let invoice = account.assemble(&moment, &[], &[(november(), late)]).unwrap();
    assert_eq!(invoice.total, usd(300));
    assert_ne!(invoice.id, account.invoices[0].id);
    assert_eq!(invoice.revision, 1);
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
    assert!(matches!(other.assemble(&moment, &[], &[]), Err(InvoiceError::WrongPlan { given_version: 2, .. })));
    let huge = account.assemble(&moment, &[("tokens_in", "0.123456789012345678901234"), ("tokens_out", "1")], &[]);
    assert!(matches!(huge, Err(InvoiceError::Rating(_))));
}

#[test]
fn only_a_draft_that_adds_up_is_issued_and_dates_are_local() {
    let mut draft = trace("18059974", "245896").invoices.remove(0);
    draft.zone = chrono_tz::Asia::Tokyo;
    let number = format_number("INV", Some(2023), 42);
    let issued = finalize(draft.clone(), number, at("2023-12-02T16:00:00Z")).unwrap();
    assert_eq!(issued.number.as_deref(), Some("INV-2023-000042"));
    assert_eq!(issued.issue_date, Some("2023-12-03".parse().unwrap()));
    assert_eq!(issued.due_date, Some("2023-12-17".parse().unwrap()));
    let again = finalize(issued.clone(), "INV-2023-000043".into(), at("2023-12-03T00:00:00Z"));
    assert_eq!(again, Err(InvoiceError::NotADraft { id: issued.id, status: InvoiceStatus::Finalized }));

    let broken: [fn(&mut Invoice); 5] = [
        |invoice| invoice.lines[0].amount.minor += 1,
        |invoice| invoice.lines[0].rows[0].amount += Decimal::ONE,
        |invoice| invoice.subtotal.minor += 1,
        |invoice| invoice.tax.minor += 1,
        |invoice| invoice.total.minor -= 1,
    ];
    for break_it in broken {
        let mut invoice = draft.clone();
        break_it(&mut invoice);
        let answer = finalize(invoice, "INV-1".into(), at("2023-12-02T00:00:00Z"));
        assert!(matches!(answer, Err(InvoiceError::DoesNotAddUp { .. })), "{answer:?}");
    }
}

#[test]
fn numbers_are_padded_and_never_cut() {
    assert_eq!(format_number("INV", None, 1), "INV-000001");
    assert_eq!(format_number("INV", Some(2024), 12_345_678), "INV-2024-12345678");
}

#[test]
fn every_stored_invoice_stays_readable_and_is_made_the_same() {
    let draft = trace("18059974", "245896").invoices.remove(0);
    let mut committed = Account::new("committed", "2023-11-16T12:00:00Z", None);
    committed.bill("2023-12-01T00:00:00Z", &[("api_calls", "12500"), ("tokens_in", "2500000")], &[]);
    committed.cancel_now("2023-12-20T00:00:00Z");
    let window = Period::new(at("2023-11-16T12:00:00Z"), at(NOVEMBER.1));
    let late: &[(&str, &str)] = &[("api_calls", "12000")];
    committed.bill("2023-12-21T00:00:00Z", &[("api_calls", "0"), ("tokens_in", "7")], &[(window, late)]);
    let last = committed.invoices.remove(2);
    let issued = finalize(last, format_number("INV", Some(2023), 7), at("2023-12-21T08:00:00Z")).unwrap();
    for (invoice, golden) in [(draft, GOLDEN_DRAFT), (issued, GOLDEN_FINALIZED)] {
        let made = serde_json::to_string_pretty(&invoice).unwrap();
        assert_eq!(made, golden.trim_end(), "\n{made}\n");
        assert_eq!(serde_json::from_str::<Invoice>(golden).unwrap(), invoice);
    }
}

proptest! {
    #[test]
    fn whatever_comes_late_the_sum_of_all_documents_is_the_price_of_the_whole_usage(
        first in 0..10_000_000_u64, remeasured in prop::collection::vec(0..10_000_000_u64, 0..6),
    ) {
        let mut account = Account::new("committed", NOVEMBER.0, Some(NOVEMBER.1));
        let text = |quantity: u64| quantity.to_string();
        account.bill("2023-12-01T00:00:00Z", &[("api_calls", "0"), ("tokens_in", &text(first))], &[]);
        for (revision, quantity) in (1..).zip(&remeasured) {
            let quantity = text(*quantity);
            let moment = after_end(&account.subscription, at(NOVEMBER.1), revision);
            let late: &[(&str, &str)] = &[("tokens_in", &quantity)];
            let invoice = account.assemble(&moment, &[], &[(november(), late)]).unwrap();
            prop_assert_eq!(verify(&invoice), Ok(()));
            account.invoices.push(invoice);
        }
        let mut direct = Account::new("committed", NOVEMBER.0, Some(NOVEMBER.1));
        let last = remeasured.last().copied().unwrap_or(first);
        direct.bill("2023-12-01T00:00:00Z", &[("api_calls", "0"), ("tokens_in", &text(last))], &[]);
        let total = |account: &Account| account.invoices.iter().map(|invoice| invoice.total.minor).sum::<i64>();
        prop_assert_eq!(total(&account), total(&direct));
    }

    #[test]
    fn charge_and_credit_are_the_price_of_what_was_served(start in 0..2_000_000_i64, cancel in 1..2_600_000_i64) {
        let start = at("2023-12-01T00:00:00Z") + chrono::Duration::seconds(start);
        let end = start + chrono::Duration::seconds(cancel);
        let usage = [("api_calls", "0"), ("tokens_in", "0")];
        let (start, end, later) = (start.to_rfc3339(), end.to_rfc3339(), "2024-06-01T00:00:00Z");
        let mut cancelled = Account::new("committed", &start, None);
        for moment in cancelled.due(&end).into_iter().filter(|moment| moment.at < at(&end)) {
            let invoice = cancelled.assemble(&moment, &usage, &[]).unwrap();
            cancelled.invoices.push(invoice);
        }
        cancelled.cancel_now(&end);
        cancelled.bill(later, &usage, &[]);
        let mut known = Account::new("committed", &start, Some(&end));
        known.bill(later, &usage, &[]);
        let total = |account: &Account| account.invoices.iter().map(|invoice| invoice.total.minor).sum::<i64>();
        prop_assert_eq!(total(&cancelled), total(&known));
    }
}
