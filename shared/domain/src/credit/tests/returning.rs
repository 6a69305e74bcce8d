//! What a voided or credited invoice gives back.

use super::*;

fn spent() -> (Vec<WalletState>, Invoice, Vec<LedgerTransaction>) {
    let sold = NewGrant { cost: Some(usd(7)), ..paid("g", "7") };
    let mut wallets =
        vec![empty(wallet("w", CREDITS, &[])).with(sold).with(NewGrant { priority: 1, ..promotional("h", "3.5") })];
    let mut invoice = invoice(&[("a", 25)]);
    let events = pay(&mut invoice, &mut wallets, day(21)).unwrap();
    let movements = events.iter().filter_map(movement).cloned().collect();
    (wallets, invoice, movements)
}

#[test]
fn all_of_it_goes_back_to_the_same_grants() {
    let (mut wallets, invoice, mut movements) = spent();
    let fresh = |state: &WalletState| (state.remaining("g"), state.remaining("h"));
    assert_eq!(fresh(&wallets[0]), ("2".into(), "0.166666".into()));
    let events = give_back(&mut wallets[0], &invoice.id, &movements, None, day(22)).unwrap();
    assert_eq!(fresh(&wallets[0]), ("7".into(), "3.5".into()));
    assert_eq!(wallets[0].grants[0].deferred, Some(usd(7)));
    movements.extend(events.iter().filter_map(movement).cloned());
    let all = events.iter().filter_map(movement).chain(&movements[..1]).flat_map(|it| &it.entries);
    let mut sums: BTreeMap<(Account, String), rust_decimal::Decimal> = BTreeMap::new();
    for entry in all {
        *sums.entry((entry.account, entry.unit.clone())).or_default() += entry.amount;
    }
    assert!(sums.values().all(rust_decimal::Decimal::is_zero), "{sums:?}");
    let again = give_back(&mut wallets[0], &invoice.id, &movements, None, day(23)).unwrap();
    assert_eq!(again, [], "once");
}

#[test]
fn a_part_goes_back_to_what_was_spent_last() {
    let (mut wallets, invoice, mut movements) = spent();
    // 10 cents came from h, then 15 from g.
    for (minor, g, h) in [(6, "4", "0.166666"), (12, "7", "1.166666"), (99, "7", "3.5")] {
        let events = give_back(&mut wallets[0], &invoice.id, &movements, Some(usd(minor)), day(22)).unwrap();
        movements.extend(events.iter().filter_map(movement).cloned());
        assert_eq!((wallets[0].remaining("g"), wallets[0].remaining("h")), (g.into(), h.into()), "{minor}");
    }
    assert_eq!(wallets[0].grants[0].deferred, Some(usd(7)));
    let other = InvoiceId::parse("inv_other").unwrap();
    assert_eq!(give_back(&mut wallets[0], &other, &movements, None, day(22)).unwrap(), []);
}

#[test]
fn what_comes_back_after_the_expiry_expires() {
    let rollover = Rollover { cap: None, until: Some(day(30)) };
    let asked = NewGrant { expires_at: Some(day(20)), rollover: Some(rollover), ..paid("g", "5") };
    let mut wallets = [empty(wallet("w", MONEY, &[])).with(asked)];
    let mut invoice = invoice(&[("a", 200)]);
    let movements: Vec<_> =
        pay(&mut invoice, &mut wallets, day(21)).unwrap().iter().filter_map(movement).cloned().collect();
    let id = GrantId::parse("g").unwrap();
    let [state] = &mut wallets;
    expire(state, &id, day(21)).unwrap();
    assert_eq!(state.balance(day(21)), units("3"), "rolled over");
    give_back(state, &invoice.id, &movements, None, day(22)).unwrap();
    assert_eq!((state.remaining("g").as_str(), state.balance(day(22))), ("2", units("3")));
    assert_eq!(booked(&expire(state, &id, day(22)).unwrap())[3], "breakage USD -2");
}
