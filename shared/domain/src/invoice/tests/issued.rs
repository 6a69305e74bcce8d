//! Issuing a draft, and documents that were stored.

use super::*;

const GOLDEN_DRAFT: &str = include_str!("../../../../../schemas/golden/invoice/draft.v1.json");
const GOLDEN_FINALIZED: &str = include_str!("../../../../../schemas/golden/invoice/finalized.v1.json");

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
