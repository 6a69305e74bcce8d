use super::*;
use std::collections::BTreeSet;

/// Every type that was ever stored, with a payload as it was stored. A line is added here and never taken away.
const GOLDEN: [(&str, &str); 40] = [
    ("tenant.created.v1", include_str!("../../../../schemas/golden/journal/tenant.created.v1.json")),
    ("tenant.state_desired.v1", include_str!("../../../../schemas/golden/journal/tenant.state_desired.v1.json")),
    ("api_key.created.v1", include_str!("../../../../schemas/golden/journal/api_key.created.v1.json")),
    ("api_key.revoked.v1", include_str!("../../../../schemas/golden/journal/api_key.revoked.v1.json")),
    ("meter.defined.v1", include_str!("../../../../schemas/golden/journal/meter.defined.v1.json")),
    ("plan.published.v1", include_str!("../../../../schemas/golden/journal/plan.published.v1.json")),
    ("subscription.started.v1", include_str!("../../../../schemas/golden/journal/subscription.started.v1.json")),
    ("subscription.cancelled.v1", include_str!("../../../../schemas/golden/journal/subscription.cancelled.v1.json")),
    ("subscription.changed.v1", include_str!("../../../../schemas/golden/journal/subscription.changed.v1.json")),
    (
        "invoice.settings_changed.v1",
        include_str!("../../../../schemas/golden/journal/invoice.settings_changed.v1.json"),
    ),
    ("invoice.drafted.v1", include_str!("../../../../schemas/golden/journal/invoice.drafted.v1.json")),
    ("invoice.finalized.v1", include_str!("../../../../schemas/golden/journal/invoice.finalized.v1.json")),
    ("period.closed.v1", include_str!("../../../../schemas/golden/journal/period.closed.v1.json")),
    ("quota.signalled.v1", include_str!("../../../../schemas/golden/journal/quota.signalled.v1.json")),
    ("quota.limit_changed.v1", include_str!("../../../../schemas/golden/journal/quota.limit_changed.v1.json")),
    ("topic.created.v1", include_str!("../../../../schemas/golden/journal/topic.created.v1.json")),
    (
        "invoice.payment_recorded.v1",
        include_str!("../../../../schemas/golden/journal/invoice.payment_recorded.v1.json"),
    ),
    (
        "invoice.payment_reversed.v1",
        include_str!("../../../../schemas/golden/journal/invoice.payment_reversed.v1.json"),
    ),
    ("invoice.voided.v1", include_str!("../../../../schemas/golden/journal/invoice.voided.v1.json")),
    (
        "invoice.marked_uncollectible.v1",
        include_str!("../../../../schemas/golden/journal/invoice.marked_uncollectible.v1.json"),
    ),
    ("credit_note.issued.v1", include_str!("../../../../schemas/golden/journal/credit_note.issued.v1.json")),
    ("tenant.credit_refunded.v1", include_str!("../../../../schemas/golden/journal/tenant.credit_refunded.v1.json")),
    ("dunning.step_reached.v1", include_str!("../../../../schemas/golden/journal/dunning.step_reached.v1.json")),
    (
        "tenant.billing_terms_changed.v1",
        include_str!("../../../../schemas/golden/journal/tenant.billing_terms_changed.v1.json"),
    ),
    ("wallet.created.v1", include_str!("../../../../schemas/golden/journal/wallet.created.v1.json")),
    ("wallet.top_up_changed.v1", include_str!("../../../../schemas/golden/journal/wallet.top_up_changed.v1.json")),
    ("credit.granted.v1", include_str!("../../../../schemas/golden/journal/credit.granted.v1.json")),
    ("credit.consumed.v1", include_str!("../../../../schemas/golden/journal/credit.consumed.v1.json")),
    ("credit.expired.v1", include_str!("../../../../schemas/golden/journal/credit.expired.v1.json")),
    ("credit.rolled_over.v1", include_str!("../../../../schemas/golden/journal/credit.rolled_over.v1.json")),
    ("credit.returned.v1", include_str!("../../../../schemas/golden/journal/credit.returned.v1.json")),
    ("credit.top_up_ordered.v1", include_str!("../../../../schemas/golden/journal/credit.top_up_ordered.v1.json")),
    ("coupon.created.v1", include_str!("../../../../schemas/golden/journal/coupon.created.v1.json")),
    ("coupon.applied.v1", include_str!("../../../../schemas/golden/journal/coupon.applied.v1.json")),
    ("coupon.removed.v1", include_str!("../../../../schemas/golden/journal/coupon.removed.v1.json")),
    ("tax_rates.changed.v1", include_str!("../../../../schemas/golden/journal/tax_rates.changed.v1.json")),
    (
        "tenant.tax_profile_changed.v1",
        include_str!("../../../../schemas/golden/journal/tenant.tax_profile_changed.v1.json"),
    ),
    ("charge.added.v1", include_str!("../../../../schemas/golden/journal/charge.added.v1.json")),
    ("charge.withdrawn.v1", include_str!("../../../../schemas/golden/journal/charge.withdrawn.v1.json")),
    ("charge.invoiced.v1", include_str!("../../../../schemas/golden/journal/charge.invoiced.v1.json")),
];

/// Written again, an old payload says the same: no field was renamed, dropped or read as something else.
#[test]
fn what_was_ever_stored_is_still_read() {
    for (type_name, payload) in GOLDEN {
        let event = JournalEvent::decode(type_name, payload).expect(type_name);
        assert_eq!(event.type_name(), type_name);
        assert_eq!(event.payload().expect(type_name), payload.trim_end(), "{type_name}");
    }
}

/// The name in `type_name` and the one that serde reads are the same, and both are in the schema.
#[test]
fn every_type_has_a_golden_file_and_stands_in_the_schema() {
    let golden: BTreeSet<&str> = GOLDEN.iter().map(|(type_name, _)| *type_name).collect();
    let error = JournalEvent::decode("unheard.of.v1", "{}").expect_err("is no type");
    let message = error.source.to_string();
    let known: BTreeSet<&str> = message.split('`').skip(3).step_by(2).collect();
    assert_eq!(golden, known);
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../../schemas/journal.v1.schema.json")).expect("is JSON");
    let types = schema["properties"]["type"]["enum"].as_array().expect("is a list");
    assert_eq!(golden, types.iter().filter_map(serde_json::Value::as_str).collect());
}

#[test]
fn digits_survive_the_way_through_the_journal() {
    let payload = r#"{"tenant_id":"acme","feature":"tokens","amount":"123456789012345678.123456","version":4294967295,"changed_at":"2026-01-01T00:00:00Z"}"#;
    let event = JournalEvent::decode("quota.limit_changed.v1", payload).expect("is read");
    assert_eq!(event.payload().expect("is written"), payload);
}

#[test]
fn a_stream_is_what_the_decision_is_about() {
    let streams: BTreeSet<String> = GOLDEN
        .iter()
        .map(|(type_name, payload)| JournalEvent::decode(type_name, payload).expect(type_name).stream().to_string())
        .collect();
    for stream in ["tenant/acme", "meter/tokens_in", "plan/committed", "settings/invoice", "topic/talea.usage.v1"] {
        assert!(streams.contains(stream), "{stream} is not in {streams:?}");
    }
}
