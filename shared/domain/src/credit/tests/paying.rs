//! Who pays first, how much, and what is booked for it.

use super::*;

fn check(wallets: &mut [WalletState], lines: &[(&str, i64)], rows: &[(&str, i64)], due: i64) -> Vec<JournalEvent> {
    let mut invoice = invoice(lines);
    let events = pay(&mut invoice, wallets, day(21)).unwrap();
    let expect = rows.iter().map(|(grant, minor)| ((*grant).to_owned(), *minor)).collect();
    assert_eq!(paid_by(&invoice), (expect, due), "{lines:?}");
    assert_eq!(invoice.amount_due.is_some(), !rows.is_empty());
    events
}

#[test]
fn a_grant_pays_what_it_can_and_the_rest_is_due() {
    let mut wallets = [empty(wallet("w", MONEY, &[])).with(paid("g", "50"))];
    let events = check(&mut wallets, &[("a", 3000)], &[("g", 3000)], 0);
    assert_eq!(booked(&events), ["wallet USD 30", "issued USD -30", "deferred_revenue USD 30", "receivable USD -30"]);
    check(&mut wallets, &[("a", 3000)], &[("g", 2000)], 1000);
    check(&mut wallets, &[("a", 3000)], &[], 3000);
    assert_eq!(wallets[0].remaining("g"), "0");
}

#[test]
fn a_credit_is_no_charge_and_takes_nothing() {
    let mut wallets = [empty(wallet("w", MONEY, &[])).with(paid("g", "50"))];
    check(&mut wallets, &[("a", -100)], &[], -100);
    check(&mut wallets, &[("a", 100), ("b", -100)], &[], 0);
}

#[test]
fn other_tenants_and_other_currencies_pay_nothing() {
    let euros = empty(wallet("w", r#"{"currency":"EUR"}"#, &[])).with(paid("g", "50"));
    let mut others = wallet("x", MONEY, &[]);
    others.tenant = TenantId::parse("globex").unwrap();
    check(&mut [euros, empty(others).with(paid("h", "50"))], &[("a", 100)], &[], 100);
}

#[test]
fn grants_are_spent_in_the_accountants_order() {
    let general = empty(wallet("w", MONEY, &[]))
        .with(paid("never", "1"))
        .with(paid("urgent", "1").with_priority(1))
        .with(paid("older", "1").until(30).from(2))
        .with(paid("younger", "1").until(30).from(3))
        .with(promotional("gift", "1").until(30).from(4))
        .with(paid("soon", "1").until(25));
    let scoped = empty(wallet("x", MONEY, &["a"])).with(paid("scoped", "1").until(30).from(5));
    let order = ["urgent", "soon", "scoped", "gift", "older", "younger", "never"].map(|grant| (grant, 100));
    check(&mut [general.clone(), scoped.clone()], &[("a", 700)], &order, 0);
    // The order of the wallets given changes nothing.
    check(&mut [scoped, general], &[("a", 750)], &order, 50);
}

#[test]
fn a_grant_pays_what_was_billed_while_it_was_valid() {
    let check = |asked: NewGrant, pays: bool| {
        let mut wallets = [empty(wallet("w", MONEY, &[])).with(asked)];
        let mut document = invoice(&[("a", 100)]);
        pay(&mut document, &mut wallets, day(22)).unwrap();
        assert_eq!(!document.credits.is_empty(), pays);
    };
    // Billed on the 20th, issued on the 22nd.
    check(paid("g", "1").until(19), false);
    check(paid("g", "1").until(20), true);
    check(paid("g", "1").until(21), true);
    check(paid("g", "1").from(22), true);
    check(paid("g", "1").from(23), false);
}

#[test]
fn custom_units_are_converted_and_never_pay_more_than_they_are_worth() {
    // 3 cents a credit: 10.00 take 333.333334 credits, and 0.5 credits are worth 1 cent.
    let sold = NewGrant { cost: Some(usd(800)), ..paid("g", "400") };
    let mut wallets = [empty(wallet("w", CREDITS, &[])).with(sold)];
    let events = check(&mut wallets, &[("a", 1000)], &[("g", 1000)], 0);
    assert_eq!(wallets[0].remaining("g"), "66.666666");
    // 8.00 x 333.333334 / 400 = 6.67 of what was paid; 3.33 were a gift.
    assert_eq!(
        booked(&events),
        [
            "wallet credits 333.333334",
            "issued credits -333.333334",
            "deferred_revenue USD 6.67",
            "receivable USD -10",
            "promotional USD 3.33"
        ]
    );
    check(&mut wallets, &[("a", 1000)], &[("g", 199)], 801);
    assert_eq!(wallets[0].remaining("g"), "0.333332");
    check(&mut wallets, &[("a", 1000)], &[], 1000);
}

#[test]
fn a_promotional_grant_costs_only_when_it_is_spent() {
    let mut state = empty(wallet("w", MONEY, &[]));
    let granted = grant(&state, promotional("g", "5"), day(1)).unwrap();
    assert_eq!(booked([&granted]), ["wallet USD -5", "issued USD 5"]);
    state.take(granted, &mut Vec::new()).unwrap();
    let events = check(&mut [state], &[("a", 200)], &[("g", 200)], 0);
    assert_eq!(booked(&events), ["wallet USD 2", "issued USD -2", "receivable USD -2", "promotional USD 2"]);
}

#[test]
fn two_currencies_meet_in_the_conversion() {
    let euros = Money::new(500, Currency::parse("EUR").unwrap());
    let sold = NewGrant { cost: Some(euros), ..paid("g", "200") };
    let mut wallets = [empty(wallet("w", CREDITS, &[])).with(sold)];
    let events = check(&mut wallets, &[("a", 300)], &[("g", 300)], 0);
    assert_eq!(
        booked(&events),
        [
            "wallet credits 100",
            "issued credits -100",
            "deferred_revenue EUR 2.5",
            "receivable USD -3",
            "conversion EUR -2.5",
            "conversion USD 3"
        ]
    );
}

#[test]
fn a_wallet_for_some_prices_pays_their_share_of_the_total() {
    let scoped = || empty(wallet("x", MONEY, &["a"])).with(paid("scoped", "100"));
    check(&mut [scoped()], &[("a", 6000), ("b", 4000)], &[("scoped", 6000)], 4000);
    // A discount or a tax on the whole reaches both.
    let mut taxed = invoice(&[("a", 6000), ("b", 4000)]);
    taxed.total = usd(11_901);
    pay(&mut taxed, &mut [scoped()], day(21)).unwrap();
    assert_eq!(paid_by(&taxed), (vec![("scoped".to_owned(), 7141)], 4760));
    // So does a credit for another price.
    check(&mut [scoped()], &[("a", 6000), ("b", -1000)], &[("scoped", 5000)], 0);
    check(&mut [scoped()], &[("b", 6000)], &[], 6000);
}

#[test]
fn a_wallet_for_all_leaves_to_the_others_what_only_they_can_pay() {
    let general = empty(wallet("w", MONEY, &[])).with(paid("general", "40").until(25));
    let scoped = empty(wallet("x", MONEY, &["a"])).with(paid("scoped", "60"));
    // The general one is spent first, on what the scoped one cannot pay.
    check(&mut [general, scoped], &[("a", 6000), ("b", 4000)], &[("general", 4000), ("scoped", 6000)], 0);
}

impl NewGrant {
    fn with_priority(self, priority: u16) -> Self {
        Self { priority, ..self }
    }
    fn from(self, from: u32) -> Self {
        Self { effective_at: day(from), ..self }
    }
    fn until(self, until: u32) -> Self {
        Self { expires_at: Some(day(until)), ..self }
    }
}

#[test]
fn a_wallet_for_all_leaves_to_others_what_only_they_can_pay_and_no_more() {
    // Two grants could pay a little of `a`, and one all of `b`: whoever counts heads pays `b` from the general wallet, and
    // eight dollars are due although the credits are there.
    let general = empty(wallet("w", MONEY, &[])).with(paid("general", "10").with_priority(1));
    let of_a = empty(wallet("x", MONEY, &["a"])).with(paid("first", "1")).with(paid("second", "1"));
    let of_b = empty(wallet("y", MONEY, &["b"])).with(paid("third", "10"));
    let rows = [("general", 1000), ("first", 100), ("second", 100), ("third", 800)];
    check(&mut [general, of_a, of_b], &[("a", 1000), ("b", 1000)], &rows, 0);
}

#[test]
fn the_last_unit_takes_what_is_left_of_the_cost() {
    // A cent for three credits: two thirds of it are one cent, and nothing is left for the last one.
    let sold = NewGrant { cost: Some(usd(1)), ..paid("g", "3") };
    let mut wallets = [empty(wallet("w", r#"{"custom":{"name":"credits","rates":{"USD":"1"}}}"#, &[])).with(sold)];
    let deferred = |wallets: &[WalletState]| wallets[0].grants[0].deferred;
    check(&mut wallets, &[("a", 100)], &[("g", 100)], 0);
    assert_eq!(deferred(&wallets), Some(usd(1)));
    check(&mut wallets, &[("a", 100)], &[("g", 100)], 0);
    assert_eq!(deferred(&wallets), Some(usd(0)));
    check(&mut wallets, &[("a", 100)], &[("g", 100)], 0);
    assert_eq!((deferred(&wallets), wallets[0].remaining("g").as_str()), (Some(usd(0)), "0"));
}

#[test]
fn credits_that_were_sold_above_their_worth_balance_too() {
    let sold = NewGrant { cost: Some(usd(1200)), ..paid("g", "10") };
    let mut wallets = [empty(wallet("w", MONEY, &[])).with(sold)];
    let events = check(&mut wallets, &[("a", 1000)], &[("g", 1000)], 0);
    let expected =
        ["wallet USD 10", "issued USD -10", "deferred_revenue USD 12", "receivable USD -10", "promotional USD -2"];
    assert_eq!(booked(&events), expected);
    movement(&events[0]).unwrap().verify().unwrap();
}
