//! What is refused, and that what was stored stays readable.

use super::*;

fn refused<T: std::fmt::Debug>(answer: Result<T, CreditError>, field: &str) {
    match answer {
        Err(CreditError::Field(fault)) => assert_eq!(fault.field, field, "{fault}"),
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn a_wallet_is_refused_with_its_field() {
    let check = |change: &dyn Fn(&mut Wallet), field: &str| {
        let mut wallet = wallet("w", CREDITS, &[]);
        change(&mut wallet);
        refused(create(None, wallet), field);
    };
    let unit = |text: &str| serde_json::from_str::<WalletUnit>(text).unwrap();
    check(&|it| it.name = " ".into(), "/name");
    check(&|it| it.unit = unit(r#"{"custom":{"name":"USD","rates":{"USD":"1"}}}"#), "/unit/custom/name");
    check(&|it| it.unit = unit(r#"{"custom":{"name":"c","rates":{}}}"#), "/unit/custom/rates");
    check(&|it| it.unit = unit(r#"{"custom":{"name":"c","rates":{"USD":"0"}}}"#), "/unit/custom/rates/USD");
    let rule = |threshold, target, cap: Option<&str>| AutoTopUp {
        threshold: units(threshold),
        target: units(target),
        monthly_cap: cap.map(units),
    };
    check(&|it| it.auto_top_up = Some(rule("0", "1", None)), "/auto_top_up/threshold");
    check(&|it| it.auto_top_up = Some(rule("2", "2", None)), "/auto_top_up/target");
    check(&|it| it.auto_top_up = Some(rule("1", "2", Some("0"))), "/auto_top_up/monthly_cap");
    let there = empty(wallet("w", MONEY, &[]));
    let again = create(Some(&there), wallet("w", MONEY, &[]));
    assert_eq!(again, Err(CreditError::WalletExists { wallet: there.wallet.id.clone() }));
}

#[test]
fn a_grant_is_refused_with_its_field() {
    let check = |unit: &str, change: &dyn Fn(&mut NewGrant), field: &str| {
        let mut asked = NewGrant { cost: Some(usd(100)), expires_at: Some(day(20)), ..paid("g", "1") };
        change(&mut asked);
        refused(grant(&empty(wallet("w", unit, &[])), asked, day(5)), field);
    };
    check(MONEY, &|it| it.amount = Units::ZERO, "/amount");
    check(MONEY, &|it| it.amount = units("0.001"), "/amount");
    check(MONEY, &|it| it.expires_at = Some(day(4)), "/expires_at");
    check(MONEY, &|it| it.effective_at = day(20), "/expires_at");
    check(MONEY, &|it| it.cost = Some(usd(-1)), "/cost");
    check(MONEY, &|it| it.cost = Some(Money::new(1, Currency::parse("EUR").unwrap())), "/cost");
    check(MONEY, &|it| it.kind = GrantKind::Promotional, "/cost");
    check(CREDITS, &|it| it.cost = None, "/cost");
    let rollover = |cap: Option<&str>, until| Some(Rollover { cap: cap.map(units), until });
    check(MONEY, &|it| (it.expires_at, it.rollover) = (None, rollover(None, None)), "/rollover");
    check(MONEY, &|it| it.rollover = rollover(None, Some(day(20))), "/rollover/until");
    check(MONEY, &|it| it.rollover = rollover(Some("0"), None), "/rollover/cap");
    check(MONEY, &|it| it.rollover = rollover(Some("0.001"), None), "/rollover/cap");
    let there = empty(wallet("w", MONEY, &[])).with(paid("g", "1"));
    let again = grant(&there, paid("g", "1"), day(5));
    assert_eq!(again, Err(CreditError::GrantExists { grant: GrantId::parse("g").unwrap() }));
}

#[test]
fn a_transaction_that_does_not_balance_or_overdraws_changes_nothing() {
    let state = empty(wallet("w", MONEY, &[]));
    let JournalEvent::CreditGranted(mut granted) = grant(&state, paid("g", "1"), day(1)).unwrap() else { panic!() };
    granted.transaction.entries[0].amount += rust_decimal::Decimal::ONE;
    let answer = evolve(Some(state.clone()), &JournalEvent::CreditGranted(granted.clone()));
    assert!(matches!(answer, Err(CreditError::Unbalanced { .. })), "{answer:?}");
    // Balanced, and the wrong way round: the wallet would owe less than nothing.
    for (entry, amount) in granted.transaction.entries.iter_mut().zip([-1, 1, 0, 0]) {
        entry.amount = amount.into();
    }
    let answer = evolve(Some(state), &JournalEvent::CreditGranted(granted));
    assert!(matches!(answer, Err(CreditError::Overdrawn { .. })), "{answer:?}");
}

#[test]
fn amounts_are_exact_and_bounded() {
    for (text, read) in
        [("1", Some("1")), ("0.10", Some("0.1")), ("0.0000001", None), ("1000000000000", Some("1000000000000"))]
    {
        assert_eq!(Units::try_from(text.to_owned()).ok().map(|it| it.to_string()).as_deref(), read, "{text}");
    }
    assert!(Units::try_from("1000000000000.000001".to_owned()).is_err());
    let yen = Money::new(i64::MAX, Currency::parse("JPY").unwrap());
    let unit: WalletUnit = serde_json::from_str(r#"{"custom":{"name":"c","rates":{"JPY":"0.000000000001"}}}"#).unwrap();
    assert_eq!(unit.units_for(yen), None);
    let unit: WalletUnit = serde_json::from_str(r#"{"custom":{"name":"c","rates":{"USD":"1000000"}}}"#).unwrap();
    assert_eq!(unit.worth(units("1000000000000"), usd(0).currency), Some(usd(i64::MAX)));
}

/// One of each, as it is recorded today. That all that was ever stored can be read is the journal's own test.
#[test]
fn every_decision_is_recorded_as_its_golden_file_says() {
    let rule = AutoTopUp { threshold: units("100"), target: units("500"), monthly_cap: Some(units("1000")) };
    let asked = Wallet { auto_top_up: Some(rule), ..wallet("wal_golden", CREDITS, &["tokens_in"]) };
    let created = create(None, asked).unwrap();
    let mut state = evolve(None, &created).unwrap().unwrap();
    let rollover = Rollover { cap: Some(units("40")), until: Some(day(31)) };
    let sold = NewGrant {
        cost: Some(usd(2400)),
        expires_at: Some(day(25)),
        rollover: Some(rollover),
        ..paid("grn_golden", "1000")
    };
    let mut events = vec![created];
    let granted = grant(&state, sold, day(2)).unwrap();
    state.take(granted, &mut events).unwrap();
    let mut wallets = [state];
    let mut invoice = invoice(&[("tokens_in", 2799)]);
    events.extend(pay(&mut invoice, &mut wallets, day(21)).unwrap());
    let movements: Vec<_> = events.iter().filter_map(movement).cloned().collect();
    events.extend(give_back(&mut wallets[0], &invoice.id, &movements, Some(usd(30)), day(22)).unwrap());
    events.extend(expire(&mut wallets[0], &GrantId::parse("grn_golden").unwrap(), day(26)).unwrap());
    events.extend(change_top_up(&mut wallets[0], None, day(27)).unwrap());
    let names: Vec<&str> = events.iter().map(JournalEvent::type_name).collect();
    let expect = ["wallet.created", "credit.granted", "credit.consumed", "credit.top_up_ordered", "credit.returned"];
    let expect = expect
        .into_iter()
        .chain(["credit.rolled_over", "credit.expired", "wallet.top_up_changed"])
        .map(|name| format!("{name}.v1"));
    assert_eq!(names, expect.collect::<Vec<_>>());
    for event in &events {
        let path = format!("{}/../../schemas/golden/journal/{}.json", env!("CARGO_MANIFEST_DIR"), event.type_name());
        let made = event.payload().unwrap() + "\n";
        if std::env::var_os("TALEA_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), made, "{path}");
    }
}
