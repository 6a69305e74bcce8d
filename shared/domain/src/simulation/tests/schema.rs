//! The schema of documents against what is read: each says exactly the members that the other has.

use super::*;
use crate::discount::Coupon;
use crate::party::Party;
use crate::plan::PlanVersion;
use crate::simulation::document::*;
use crate::subscription::{AddAddOn, ChangePlan, ChangeQuantity, OverridePrice, Pause, Reactivate, RemoveAddOn};
use crate::tax::{Exemption, Jurisdiction, TaxProfile, TaxRate, TaxSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a type reads, as it tells who sends something else.
fn read<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(r#"{"no such member": 0}"#).err().expect("unknown members are refused");
    let error = error.to_string();
    let (_, expected) = error.split_once("expected").expect("the error lists what is known");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A part of a schema by its pointer, through references.
fn part(file: &str, pointer: &str) -> Value {
    let text = std::fs::read_to_string(top().join("schemas").join(file)).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let found = schema.pointer(pointer).unwrap_or_else(|| panic!("{file}#{pointer}")).clone();
    match found.get("$ref").and_then(Value::as_str) {
        None => found,
        Some(reference) => {
            let (other, pointer) = reference.split_once('#').unwrap_or((reference, ""));
            let other = other.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(file);
            part(other, pointer)
        }
    }
}

/// The members that a schema describes, in any of its forms.
fn described(file: &str, pointer: &str) -> BTreeSet<String> {
    let part = part(file, pointer);
    let forms = part.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let members = forms.chain([&part]).filter_map(|form| form.get("properties")?.as_object());
    members.flat_map(|members| members.keys().cloned()).collect()
}

#[test]
fn the_schema_has_every_member_that_is_read_and_no_other() {
    let check = |file: &str, pointer: &str, read: BTreeSet<String>| {
        assert_eq!(described(file, pointer), read, "{file}#{pointer}");
    };
    let document = |pointer: &str, read| check("simulation.v1.schema.json", &format!("/properties/{pointer}"), read);
    check("simulation.v1.schema.json", "", read::<SimulationDocument>());
    document("meters/items", read::<crate::meter::NewMeter>());
    document("plans/items", read::<PlanVersion>());
    document("coupons/items", read::<Coupon>());
    document("wallets/items", read::<WalletInput>());
    document("usage/items", read::<UsageInput>());
    document("taxes", read::<TaxSettings>());
    document("issuer", read::<Party>());
    document("tenants/items", read::<TenantInput>());
    document("tenants/items/properties/tax", read::<TaxProfile>());
    check("tax-rates.v1.schema.json", "/properties/rates/items", read::<TaxRate>());
    check("tax-rates.v1.schema.json", "/$defs/profile/properties/exemptions/items", read::<Exemption>());
    check("tax-rates.v1.schema.json", "/$defs/place", read::<Jurisdiction>());
    document("timeline/items", read::<TimelineEntry>());
    let command = |name: &str, read| document(&format!("timeline/items/properties/{name}"), read);
    command("start", read::<StartInput>());
    command("start/properties/trial", read::<TrialInput>());
    command("start/properties/phases/items", read::<PhaseInput>());
    command("cancel", read::<CancelInput>());
    command("change_plan", read::<ChangePlan>());
    command("change_quantity", read::<ChangeQuantity>());
    command("add_add_on", read::<AddAddOn>());
    command("remove_add_on", read::<RemoveAddOn>());
    command("pause", read::<Pause>());
    command("resume", read::<Pause>());
    command("override_price", read::<OverridePrice>());
    command("reactivate", read::<Reactivate>());
    command("record_payment", read::<PaymentInput>());
    command("settle_from_credit", read::<SettleInput>());
    command("reverse_payment", read::<ReversalInput>());
    command("void_invoice", read::<VoidInput>());
    command("mark_uncollectible", read::<WriteOffInput>());
    command("issue_credit_note", read::<CreditNoteInput>());
    command("apply_coupon", read::<ApplyCouponInput>());
    command("remove_coupon", read::<RemoveCouponInput>());
    command("grant_credit", read::<GrantInput>());
    command("top_up", read::<TopUpInput>());
}
