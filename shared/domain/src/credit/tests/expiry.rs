//! The end of a grant, and orders for more.

use super::*;

fn expiring(amount: &str, rollover: Option<Rollover>) -> NewGrant {
    NewGrant { expires_at: Some(day(10)), rollover, cost: Some(usd(900)), ..paid("g", amount) }
}

fn end(state: &mut WalletState, on: u32) -> Vec<JournalEvent> {
    expire(state, &GrantId::parse("g").unwrap(), day(on)).unwrap()
}

#[test]
fn what_is_left_at_the_end_is_breakage_as_far_as_it_was_paid_for() {
    let mut state = empty(wallet("w", MONEY, &[])).with(expiring("10", None));
    assert_eq!(end(&mut state, 9), []);
    let events = end(&mut state, 10);
    assert_eq!(booked(&events), ["wallet USD 10", "issued USD -10", "deferred_revenue USD 9", "breakage USD -9"]);
    assert_eq!((state.remaining("g").as_str(), end(&mut state, 11)), ("0", vec![]));
    let gift = NewGrant { expires_at: Some(day(10)), ..promotional("g", "10") };
    let mut state = empty(wallet("w", MONEY, &[])).with(gift);
    assert_eq!(booked(&end(&mut state, 10)), ["wallet USD 10", "issued USD -10"]);
}

#[test]
fn the_rest_rolls_over_up_to_its_cap_and_takes_its_cost_along() {
    let rollover = Rollover { cap: Some(units("4")), until: Some(day(20)) };
    let mut state = empty(wallet("w", MONEY, &[])).with(expiring("10", Some(rollover)));
    let events = end(&mut state, 12);
    let JournalEvent::CreditRolledOver(rolled) = &events[0] else { panic!("{events:?}") };
    assert_eq!((rolled.grant.amount, rolled.grant.cost), (units("4"), Some(usd(360))));
    assert_eq!((rolled.grant.effective_at, rolled.grant.expires_at), (day(10), Some(day(20))));
    assert_eq!(booked(&events), ["wallet USD 6", "issued USD -6", "deferred_revenue USD 5.4", "breakage USD -5.4"]);
    assert_eq!((state.balance(day(12)), end(&mut state, 13)), (units("4"), vec![]));
    // It rolls over once.
    let again = rolled.grant.id.clone();
    assert_eq!(booked(&expire(&mut state, &again, day(20)).unwrap())[3], "breakage USD -3.6");
    assert_eq!(state.balance(day(20)), Units::ZERO);
}

#[test]
fn what_would_expire_at_once_does_not_roll_over() {
    let rollover = Rollover { cap: None, until: Some(day(20)) };
    let mut state = empty(wallet("w", MONEY, &[])).with(expiring("10", Some(rollover)));
    assert_eq!(booked(&end(&mut state, 20))[3], "breakage USD -9");
    assert_eq!(state.grants.len(), 1);
}

fn topped_up(monthly_cap: Option<&str>) -> WalletState {
    let rule = AutoTopUp { threshold: units("20"), target: units("100"), monthly_cap: monthly_cap.map(units) };
    empty(Wallet { auto_top_up: Some(rule), ..wallet("w", MONEY, &[]) }).with(paid("g", "50"))
}

fn spend(state: &mut WalletState, minor: i64) -> Vec<TopUpOrder> {
    let mut wallets = [state.clone()];
    let events = pay(&mut invoice(&[("a", minor)]), &mut wallets, day(21)).unwrap();
    *state = wallets[0].clone();
    let orders = events.into_iter().filter_map(|event| match event {
        JournalEvent::CreditTopUpOrdered(order) => Some(order),
        _ => None,
    });
    orders.collect()
}

#[test]
fn an_order_goes_out_once_until_a_grant_answers_it() {
    let mut state = topped_up(None);
    assert_eq!(spend(&mut state, 3000), [], "20.00 are not below the threshold");
    let orders = spend(&mut state, 500);
    assert_eq!((orders.len(), orders[0].amount, orders[0].balance), (1, units("85"), units("15")));
    assert_eq!(spend(&mut state, 500), [], "one is open");
    let other = NewGrant { answers: Some(TopUpOrderId::parse("top_other").unwrap()), ..paid("h", "85") };
    assert!(matches!(grant(&state, other, day(21)), Err(CreditError::NoSuchOrder { .. })));
    state = state.with(NewGrant { answers: Some(orders[0].id.clone()), ..paid("h", "85") });
    assert_eq!((state.open_order.clone(), state.balance(day(21))), (None, units("95")));
    let second = spend(&mut state, 9000);
    assert_eq!(second[0].amount, units("95"));
    assert_ne!(second[0].id, orders[0].id);
}

#[test]
fn a_month_orders_no_more_than_its_cap() {
    let mut state = topped_up(Some("100"));
    let first = spend(&mut state, 4000).remove(0);
    assert_eq!(first.amount, units("90"));
    state = state.with(NewGrant { answers: Some(first.id), ..paid("h", "90") });
    let second = spend(&mut state, 9000).remove(0);
    assert_eq!(second.amount, units("10"), "what is left of the cap");
    state = state.with(NewGrant { answers: Some(second.id), ..paid("i", "10") });
    assert_eq!(spend(&mut state, 500), [], "nothing is left");
    let mut wallets = [state];
    let mut next = invoice(&[("a", 100)]);
    next.billed_at = at("2024-02-20T00:00:00Z");
    let events = pay(&mut next, &mut wallets, at("2024-02-20T00:00:00Z")).unwrap();
    assert!(matches!(&events[1], JournalEvent::CreditTopUpOrdered(order) if order.amount == units("86")), "{events:?}");
}

#[test]
fn a_new_rule_orders_at_once_where_the_wallet_is_low_and_none_orders_nothing() {
    let mut state = empty(wallet("w", MONEY, &[])).with(paid("g", "5"));
    let rule = |threshold| Some(AutoTopUp { threshold: units(threshold), target: units("50"), monthly_cap: None });
    assert!(change_top_up(&mut state, rule("60"), day(21)).is_err());
    assert_eq!(change_top_up(&mut state, rule("5"), day(21)).unwrap().len(), 1);
    assert_eq!(change_top_up(&mut state, rule("5"), day(21)).unwrap(), [], "it was so already");
    let events = change_top_up(&mut state, rule("6"), day(22)).unwrap();
    assert!(matches!(&events[..], [_, JournalEvent::CreditTopUpOrdered(order)] if order.amount == units("45")));
    let order = state.open_order.clone().unwrap();
    change_top_up(&mut state, None, day(23)).unwrap();
    assert_eq!(state.open_order.as_ref(), Some(&order), "what is ordered can be answered");
    state = state.with(NewGrant { answers: Some(order.id), ..paid("h", "45") });
    assert_eq!(spend(&mut state, 4900), []);
}
