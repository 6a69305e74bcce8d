//! Coupons: what may be offered, when one is in force, what is left of it, in which order several discount.

use super::*;
use crate::id::SubscriptionId;
use crate::money::Currency;
use crate::subscription::Subscription;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}T00:00:00Z").parse().unwrap()
}

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

fn coupon(kind: Value, duration: Value) -> Coupon {
    serde_json::from_value(json!({"key": "C", "name": "Coupon", "kind": kind, "duration": duration})).unwrap()
}

fn percentage() -> Value {
    json!({"type": "percentage", "percent": "10"})
}

fn fixed(carries_over: bool) -> Value {
    json!({"type": "fixed", "amount": {"EUR": "20.00"}, "carries_over": carries_over})
}

fn once() -> Value {
    json!({"type": "once"})
}

fn forever() -> Value {
    json!({"type": "forever"})
}

fn applied(coupon: Coupon, redeemed: &[(&str, i64)]) -> AppliedCoupon {
    let redeemed = redeemed.iter().map(|(day, given)| Redemption { billed_at: at(day), given: eur(*given) });
    AppliedCoupon { coupon, from: at("2024-01-01"), until: None, redeemed: redeemed.collect() }
}

#[test]
fn what_cannot_be_offered_is_told_with_its_place() {
    let check = |change: &dyn Fn(&mut Value), expect: &[&str]| {
        let mut value = json!({"key": "C", "name": "Coupon", "kind": percentage(), "duration": once()});
        change(&mut value);
        let coupon: Coupon = serde_json::from_value(value).unwrap();
        let fields: Vec<String> = coupon.validate().into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, expect);
    };
    check(&|_| {}, &[]);
    check(&|it| it["name"] = json!(" "), &["/name"]);
    check(&|it| it["kind"]["percent"] = json!("0"), &["/kind/percent"]);
    check(&|it| it["kind"]["percent"] = json!("100"), &[]);
    check(&|it| it["kind"]["percent"] = json!("100.1"), &["/kind/percent"]);
    check(&|it| it["kind"]["percent"] = json!("0.0000001"), &["/kind/percent"]);
    check(&|it| it["kind"] = fixed(false), &[]);
    check(&|it| it["kind"] = json!({"type": "fixed", "amount": {}}), &["/kind/amount"]);
    check(&|it| it["kind"] = json!({"type": "fixed", "amount": {"EUR": "0"}}), &["/kind/amount/EUR"]);
    check(&|it| it["kind"] = json!({"type": "fixed", "amount": {"JPY": "1.5"}}), &["/kind/amount/JPY"]);
    check(&|it| it["kind"] = json!({"type": "units", "meter": "m", "units": "0"}), &["/kind/units"]);
    check(&|it| it["duration"] = json!({"type": "repeating", "periods": 0}), &["/duration/periods"]);
    check(&|it| it["max_redemptions"] = json!(0), &["/max_redemptions"]);
}

#[test]
fn a_coupon_is_in_force_from_its_first_moment_until_it_is_removed_or_used_up() {
    let check = |duration: Value, redeemed: &[(&str, i64)], moment: &str, charges: bool, corrections: bool| {
        let mut applied = applied(coupon(percentage(), duration), redeemed);
        applied.until = Some(at("2024-06-01"));
        assert_eq!(applied.is_in_force(at(moment)), charges, "{moment} after {redeemed:?}");
        assert_eq!(applied.is_for_corrections(at(moment)), corrections, "corrections of {moment} after {redeemed:?}");
    };
    check(forever(), &[], "2023-12-31", false, false);
    check(forever(), &[], "2024-01-01", true, true);
    check(forever(), &[], "2024-06-01", false, false);
    // What it discounted once stays discounted.
    check(forever(), &[("2024-06-01", 5)], "2024-06-01", true, true);
    check(once(), &[], "2024-02-01", true, false);
    check(once(), &[("2024-02-01", 5)], "2024-03-01", false, false);
    check(once(), &[("2024-02-01", 5)], "2024-02-01", true, true);
    let twice = || json!({"type": "repeating", "periods": 2});
    check(twice(), &[("2024-02-01", 5)], "2024-03-01", true, false);
    check(twice(), &[("2024-02-01", 5), ("2024-03-01", 0)], "2024-04-01", false, false);
}

#[test]
fn a_fixed_amount_is_there_anew_for_each_moment_and_one_that_carries_over_grows() {
    let check = |carries: bool, duration: Value, redeemed: &[(&str, i64)], expect: i64| {
        let applied = applied(coupon(fixed(carries), duration), redeemed);
        assert_eq!(applied.available(at("2024-03-01"), eur(0).currency), Ok(eur(expect)), "{redeemed:?}");
    };
    check(false, forever(), &[], 2000);
    check(false, forever(), &[("2024-02-01", 500)], 2000);
    check(false, forever(), &[("2024-02-01", 500), ("2024-03-01", 1200)], 800);
    check(true, forever(), &[("2024-02-01", 500)], 3500);
    check(true, forever(), &[("2024-02-01", 500), ("2024-03-01", 1200)], 2300);
    check(true, once(), &[("2024-02-01", 500)], 1500);
    let spent = applied(coupon(fixed(true), once()), &[("2024-02-01", 500), ("2024-03-01", 1500)]);
    assert!(!spent.is_in_force(at("2024-04-01")), "all of it is used up");
    assert!(applied(coupon(fixed(true), once()), &[("2024-02-01", 500)]).is_in_force(at("2024-04-01")));
}

#[test]
fn coupons_come_by_priority_then_fixed_amounts_then_as_applied() {
    let mut coupons = Vec::new();
    for (key, kind, priority, from) in [
        ("last", fixed(false), 200, "2024-01-01"),
        ("percent", percentage(), 100, "2024-01-01"),
        ("later", fixed(false), 100, "2024-01-02"),
        ("fixed", fixed(false), 100, "2024-01-01"),
        ("first", percentage(), 1, "2024-01-03"),
    ] {
        let mut next = applied(coupon(kind, once()), &[]);
        next.coupon.key = CouponKey::parse(key).unwrap();
        next.coupon.priority = priority;
        next.from = at(from);
        coupons.push(next);
    }
    let order: Vec<&str> = in_order(&coupons).into_iter().map(|it| it.coupon.key.as_str()).collect();
    assert_eq!(order, ["first", "fixed", "later", "percent", "last"]);
}

fn subscription() -> Subscription {
    serde_json::from_str(include_str!("../../../../schemas/golden/subscription/running.v1.json")).unwrap()
}

#[test]
fn a_coupon_that_cannot_be_applied_is_refused_with_the_reason() {
    let now = at("2024-03-01");
    let check = |change: &dyn Fn(&mut Coupon), before: &[AppliedCoupon], so_far: Use, expect: &str| {
        let subscription = Subscription { currency: eur(0).currency, ended_at: None, ..subscription() };
        let mut coupon = coupon(fixed(false), once());
        change(&mut coupon);
        let answer = apply(&subscription, before, &coupon, so_far, None, now);
        match answer {
            Ok(applied) => assert_eq!((applied.from, expect), (now, ""), "applied"),
            Err(error) => assert!(!expect.is_empty() && error.to_string().contains(expect), "{error}"),
        }
    };
    let new = Use::default();
    check(&|_| {}, &[], new, "");
    check(&|it| it.redeem_by = Some(now), &[], new, "");
    check(&|it| it.redeem_by = Some(at("2024-02-29")), &[], new, "until 2024-02-29");
    check(&|it| it.max_redemptions = Some(2), &[], Use { subscriptions: 1, ..new }, "");
    check(&|it| it.max_redemptions = Some(2), &[], Use { subscriptions: 2, ..new }, "was used 2 times");
    check(&|it| it.currencies = vec![Currency::parse("USD").unwrap()], &[], new, "not for a subscription in EUR");
    check(
        &|it| it.kind = serde_json::from_value(json!({"type": "fixed", "amount": {"USD": "1"}})).unwrap(),
        &[],
        new,
        "EUR",
    );
    check(&|_| {}, &[applied(coupon(percentage(), once()), &[])], new, "each coupon once");
    check(&|_| {}, &[], Use { billed_until: Some(now), ..new }, "is billed");
}

#[test]
fn a_coupon_is_removed_once() {
    let coupons = [applied(coupon(percentage(), forever()), &[])];
    let (key, other) = (CouponKey::parse("C").unwrap(), CouponKey::parse("D").unwrap());
    let removed = remove(&subscription(), &coupons, &key, at("2024-02-01")).unwrap();
    assert_eq!(
        (removed.at, removed.subscription_id),
        (at("2024-02-01"), SubscriptionId::parse(subscription().id.as_str()).unwrap())
    );
    assert!(matches!(remove(&subscription(), &coupons, &other, at("2024-02-01")), Err(CouponError::NotApplied { .. })));
    let gone = [AppliedCoupon { until: Some(at("2024-02-01")), ..coupons[0].clone() }];
    assert!(matches!(remove(&subscription(), &gone, &key, at("2024-02-02")), Err(CouponError::RemovedAlready { .. })));
}
