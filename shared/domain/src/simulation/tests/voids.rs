//! Whatever is issued, paid, taken back, credited, voided, written off and issued anew, in whatever order: everything adds up,
//! and a re-issue bills what would have been billed without the void, no more and no less.

use super::operations::{check_view, simulate_the_rest};
use super::*;
use crate::invoice::InvoiceStage;
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

const STEPS: usize = 50;
/// The commands of the base document: a start, a coupon, credits.
const FIRST_COMMANDS: usize = 3;

fn at(hours: i64) -> DateTime<Utc> {
    "2024-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + Duration::hours(hours)
}

/// A command about one of the first invoices, or something that changes what is owed.
fn step() -> impl Strategy<Value = Value> {
    (0..11_u8, 1..6_u8, 0..4_u8, 1..120_i64, 1..3_600_i64).prop_map(|(kind, number, reference, amount, hours)| {
        let (invoice, reference) = (format!("INV-{number:06}"), format!("r{reference}"));
        let (name, command) = match kind {
            0 | 1 => {
                ("record_payment", json!({"invoice": invoice, "reference": reference, "amount": amount.to_string()}))
            }
            2 => ("settle_from_credit", json!({"invoice": invoice, "reference": format!("s{reference}")})),
            3 => ("reverse_payment", json!({"invoice": invoice, "reference": reference, "reason": "chargeback"})),
            4 => (
                "issue_credit_note",
                json!({"invoice": invoice, "reason": "agreed", "lines": [{"line": 1, "amount": "3"}]}),
            ),
            5..=7 => ("void_invoice", json!({"invoice": invoice, "reason": "wrong", "reissue": true})),
            8 => ("void_invoice", json!({"invoice": invoice, "reason": "gesture", "reissue": false})),
            9 => ("mark_uncollectible", json!({"invoice": invoice, "reason": "insolvent"})),
            _ => ("change_quantity", json!({"quantities": {"base": (amount % 7).to_string()}, "proration": "by_day"})),
        };
        let mut entry = json!({"at": at(hours), name: command});
        if name == "change_quantity" {
            entry["subscription"] = json!("sub_acme");
        }
        entry
    })
}

fn usage() -> impl Strategy<Value = Value> {
    (0..2_000_i64, 0..1_500_i64, -200..2_000_i64).prop_map(|(hours, late, quantity)| {
        json!({"tenant": "acme", "meter": "calls", "at": at(hours), "quantity": quantity.to_string(), "known_at": at(hours + late)})
    })
}

/// What the invoices that stand ask for, before discounts.
fn standing(view: &View) -> i64 {
    let stands = |invoice: &&std::sync::Arc<crate::invoice::Invoice>| {
        let mut states = view.receivables.iter().filter(|it| Some(&it.invoice) == invoice.number.as_ref());
        !states.any(|it| it.payment_state == InvoiceStage::Voided)
    };
    view.invoices.iter().filter(stands).map(|invoice| invoice.subtotal.minor).sum()
}

fn is_void(entry: &Value) -> bool {
    entry.get("void_invoice").is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn no_sequence_of_payments_voids_and_reissues_loses_or_doubles_anything(
        steps in prop::collection::vec(step(), 1..=STEPS),
        more in prop::collection::vec(usage(), 0..10),
    ) {
        let text = documents().into_iter().find(|(name, _)| name == "720-void-and-reissue").unwrap().1;
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let timeline = document["timeline"].as_array_mut().unwrap();
        timeline.truncate(FIRST_COMMANDS);
        timeline.extend(steps);
        document["usage"].as_array_mut().unwrap().extend(more);
        // All usage is known and billed by then.
        document["as_of"] = json!([at(1_800), at(5_500)]);
        let (document, result) = simulate_the_rest(document).unwrap();
        for view in &result.views {
            check_view(view);
            wallets::check(view);
        }
        let is_forgiving = |entry: &Value| entry["void_invoice"]["reissue"] == json!(false);
        let timeline = document["timeline"].as_array().unwrap();
        if !timeline.iter().any(is_forgiving) {
            let mut without = document.clone();
            let is_of_subscription = |entry: &&Value| entry.get("subscription").is_some();
            without["timeline"] = timeline.iter().filter(|entry| !is_void(entry)).filter(is_of_subscription).cloned().collect();
            let without = simulate_text(&without.to_string()).unwrap();
            prop_assert_eq!(standing(&result.views[1]), standing(&without.views[1]));
        }
    }
}
