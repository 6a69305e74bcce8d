//! What an end credits and what late usage changes.

use super::*;
use crate::subscription::after_end;
use proptest::prelude::*;

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
    assert_eq!((invoice.revision, invoice.period), (1, november()));
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
