//! What must hold for any coupons, rates, usage and corrections, over whole courses of subscriptions.

use super::*;
use crate::discount::Coupon;
use crate::id::{CouponKey, PriceKey};
use crate::invoice::{Invoice, LineKind, verify};
use crate::period::Period;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The credit of what was discounted and taxed, as other crates print it.
fn credit() -> Invoice {
    let (_, text) = documents().into_iter().find(|(name, _)| name.starts_with("514-")).unwrap();
    Invoice::clone(&simulate_text(&text).unwrap().views[0].invoices[1])
}

#[test]
fn a_discounted_and_taxed_invoice_is_stored_and_stays_readable() {
    let path = top().join("schemas/golden/invoice/taxed.v1.json");
    check_stored(&path, &(serde_json::to_string_pretty(&credit()).unwrap() + "\n"));
    let stored: Invoice = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(stored, credit());
}

#[test]
fn an_invoice_whose_discounts_or_taxes_do_not_add_up_is_not_issued() {
    let broken: [fn(&mut Invoice); 9] = [
        |invoice| invoice.discount = None,
        |invoice| invoice.discounts[0].amount.minor += 1,
        |invoice| invoice.discounts[0].lines[0].amount.minor += 1,
        |invoice| invoice.discounts.clear(),
        |invoice| invoice.lines[0].discounts[0].amount.minor -= 1,
        |invoice| invoice.lines[0].already_discounted.clear(),
        |invoice| invoice.taxes[0].amount.minor += 1,
        |invoice| invoice.taxes[0].lines[0].amount.minor += 1,
        |invoice| invoice.taxes[0].included = true,
    ];
    verify(&credit()).unwrap();
    for (index, break_it) in broken.iter().enumerate() {
        let mut invoice = credit();
        break_it(&mut invoice);
        assert!(verify(&invoice).is_err(), "{index}");
    }
}

/// One coupon by a few numbers.
fn coupon(index: usize, kind: u8, size: u32, duration: u8, scoped: bool, stackable: bool) -> Value {
    let kind = match kind % 4 {
        0 => json!({"type": "percentage", "percent": (1 + size % 100).to_string()}),
        1 => json!({"type": "units", "meter": "calls", "units": (1 + size % 700).to_string()}),
        other => json!({"type": "fixed", "amount": {"EUR": format!("{}.{:02}", size % 60, 1 + size % 99)},
            "carries_over": other == 3}),
    };
    let duration = match duration % 3 {
        0 => json!({"type": "once"}),
        1 => json!({"type": "repeating", "periods": 2}),
        _ => json!({"type": "forever"}),
    };
    let prices = if scoped { json!(["calls", "base"]) } else { json!([]) };
    json!({"key": format!("C{index}"), "name": "Coupon", "kind": kind, "duration": duration, "prices": prices,
        "stackable": stackable})
}

fn document(coupons: &[Value], late: &[(usize, i32)], rate: u32, included: bool, end: u32) -> Value {
    let flat = |key: &str, amount: &str| json!({"key": key, "name": key, "model": {"type": "flat", "timing": "in_advance", "amount": {"EUR": amount}}});
    let per_unit = json!({"type": "per_unit", "meter": "calls", "included": "50", "unit_amount": {"EUR": "0.0317"}});
    let month = |month: usize| format!("2024-{month:02}-01T00:00:00Z");
    let mut usage = Vec::new();
    for (known, (of, quantity)) in late.iter().enumerate() {
        let known = format!("2024-{:02}-{:02}T00:00:00Z", 2 + of % 4 + known % 3, 10 + known);
        usage.push(json!({"tenant": "acme", "meter": "calls", "at": month(1 + of % 4).replace("-01T", "-05T"),
            "quantity": quantity.to_string(), "known_at": known}));
    }
    usage.extend((1..=4).map(
        |of| json!({"tenant": "acme", "meter": "calls", "at": month(of).replace("-01T", "-02T"), "quantity": "600"}),
    ));
    let mut timeline = vec![json!({"at": month(1), "subscription": "s", "start": {"tenant": "acme", "plan": "p"}})];
    for coupon in coupons {
        timeline.push(json!({"at": month(1), "subscription": "s", "apply_coupon": {"coupon": coupon["key"]}}));
    }
    if let Some(coupon) = coupons.first() {
        let at = "2024-03-15T00:00:00Z";
        timeline.push(json!({"at": at, "subscription": "s", "remove_coupon": {"coupon": coupon["key"]}}));
    }
    let ended = format!("2024-04-{:02}T07:00:00Z", 1 + end % 29);
    timeline.push(json!({"at": ended, "subscription": "s", "cancel": {"mode": "now"}}));
    json!({
        "currency": "EUR", "as_of": "2025-01-01T00:00:00Z", "coupons": coupons,
        "plans": [{"key": "p", "name": "P", "prices": [flat("base", "19.99"), flat("seat", "7.01"),
            {"key": "calls", "name": "calls", "model": per_unit}]}],
        "taxes": {"seller": {"country": "DE"}, "rates": [{"name": "VAT", "jurisdiction": {"country": "DE"},
            "rate_percent": (rate % 40).to_string(), "included": included}]},
        "tenants": [{"id": "acme", "zone": "UTC"}], "timeline": timeline, "usage": usage,
    })
}

/// What the lines of a price and a period come to, and what coupons take off them.
fn lots(invoices: &[&Invoice]) -> BTreeMap<(PriceKey, Period), (i64, i64)> {
    let mut lots: BTreeMap<(PriceKey, Period), (i64, i64)> = BTreeMap::new();
    for line in invoices.iter().flat_map(|invoice| &invoice.lines) {
        let month = match line.kind {
            // A credit is about the rest of the period that the charge paid.
            LineKind::ProrationCredit => Period::new("2024-04-01T00:00:00Z".parse().unwrap(), line.period.end),
            _ => line.period,
        };
        let lot = lots.entry((line.price_key.clone(), month)).or_default();
        lot.0 += line.amount.minor;
        lot.1 += line.discounts.iter().map(|discount| discount.amount.minor).sum::<i64>();
    }
    lots
}

/// On how many bill moments each coupon gave something to charges.
fn uses(invoices: &[&Invoice]) -> BTreeMap<CouponKey, usize> {
    let mut uses = BTreeMap::new();
    for invoice in invoices {
        let charged = |share: &crate::invoice::LineShare| {
            invoice.lines.iter().any(|line| line.number == share.line && line.already_billed.is_none())
        };
        for row in invoice.discounts.iter().filter(|row| row.lines.iter().any(charged)) {
            *uses.entry(row.coupon.clone()).or_default() += 1;
        }
    }
    uses
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn invoices_add_up_and_no_discount_exceeds_what_it_is_taken_from(
        coupons in prop::collection::vec((any::<u8>(), any::<u32>(), any::<u8>(), any::<bool>(), any::<bool>()), 0..5),
        late in prop::collection::vec((0_usize..4, -600_i32..900), 0..6),
        (rate, included, end) in (any::<u32>(), any::<bool>(), any::<u32>()),
    ) {
        let coupons: Vec<Value> = coupons.iter().enumerate().map(|(index, it)| coupon(index, it.0, it.1, it.2, it.3, it.4)).collect();
        let text = document(&coupons, &late, rate, included, end).to_string();
        let result = simulate_text(&text).unwrap();
        let invoices: Vec<&Invoice> = result.views[0].invoices.iter().map(AsRef::as_ref).collect();
        for invoice in &invoices {
            verify(invoice).unwrap();
            // Said again, in other words than `verify` says it.
            let lines: i64 = invoice.lines.iter().map(|line| line.amount.minor).sum();
            let off: i64 = invoice.lines.iter().flat_map(|line| &line.discounts).map(|it| it.amount.minor).sum();
            let added: i64 = invoice.taxes.iter().filter(|row| !row.included).map(|row| row.amount.minor).sum();
            prop_assert_eq!(invoice.total.minor, lines - off + added);
        }
        for ((price, period), (amount, off)) in lots(&invoices) {
            prop_assert!(off >= 0 && off <= amount.max(0), "{off} off {amount} of {price} in {period:?}");
        }
        let uses = uses(&invoices);
        for coupon in &coupons {
            let coupon: Coupon = serde_json::from_value(coupon.clone()).unwrap();
            let carries = matches!(coupon.kind, crate::discount::CouponKind::Fixed { carries_over: true, .. });
            let most = coupon.most_redemptions().filter(|_| !carries).map_or(usize::MAX, |most| most as usize);
            let used = uses.get(&coupon.key).copied().unwrap_or(0);
            prop_assert!(used <= most, "{} was used {used} times", coupon.key);
        }
    }
}
