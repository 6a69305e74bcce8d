//! What holds whatever happens: the ledger balances, nothing falls below zero, nothing is lost.

use super::*;
use proptest::prelude::*;
use rust_decimal::Decimal;

#[derive(Debug, Clone)]
enum Step {
    Grant { wallet: usize, millis: i64, is_paid: bool, cost: i64, priority: u16, days: Option<i64>, cap: Option<i64> },
    Pay { a: i64, b: i64 },
    GiveBack { which: usize, part: Option<i64> },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let grant = (
        0..3_usize,
        1..200_000_i64,
        any::<bool>(),
        0..300_i64,
        0..3_u16,
        prop::option::of(1..40_i64),
        prop::option::of(1..50_i64),
    )
        .prop_map(|(wallet, millis, is_paid, cost, priority, days, cap)| Step::Grant {
            wallet,
            millis,
            is_paid,
            cost,
            priority,
            days,
            cap,
        });
    prop_oneof![
        3 => grant,
        4 => (-500..20_000_i64, -500..20_000_i64).prop_map(|(a, b)| Step::Pay { a, b }),
        2 => (any::<prop::sample::Index>(), prop::option::of(0..5_000_i64))
            .prop_map(|(which, part)| Step::GiveBack { which: which.index(1000), part }),
        2 => Just(Step::Expire),
    ]
}

struct World {
    wallets: Vec<WalletState>,
    events: Vec<JournalEvent>,
    invoices: Vec<Invoice>,
    now: DateTime<Utc>,
}

impl World {
    fn new() -> Self {
        let rule = AutoTopUp { threshold: units("10"), target: units("50"), monthly_cap: Some(units("60")) };
        let wallets = vec![
            empty(Wallet { auto_top_up: Some(rule), ..wallet("w", MONEY, &[]) }),
            empty(wallet("x", CREDITS, &[])),
            empty(wallet("y", MONEY, &["a"])),
        ];
        Self { wallets, events: Vec::new(), invoices: Vec::new(), now: day(1) }
    }

    fn apply(&mut self, number: usize, step: &Step) {
        match step {
            Step::Grant { wallet, millis, is_paid, cost, priority, days, cap } => {
                let expires_at = days.map(|days| self.now + chrono::Duration::days(days));
                let asked = NewGrant {
                    amount: Units::from_millionths(millis * 10_000).unwrap(),
                    kind: if *is_paid { GrantKind::Paid } else { GrantKind::Promotional },
                    cost: is_paid.then(|| usd(*cost)),
                    priority: *priority,
                    effective_at: self.now,
                    expires_at,
                    rollover: expires_at
                        .and(*cap)
                        .map(|cap| Rollover { cap: Units::from_millionths(cap * 1_000_000), until: None }),
                    answers: self.wallets[*wallet].open_order.as_ref().map(|order| order.id.clone()),
                    ..paid(&format!("g{number:03}"), "1")
                };
                let event = grant(&self.wallets[*wallet], asked, self.now).unwrap();
                self.wallets[*wallet].take(event, &mut self.events).unwrap();
            }
            Step::Pay { a, b } => {
                let mut invoice = invoice(&[("a", *a), ("b", *b)]);
                invoice.id = InvoiceId::parse(&format!("inv_{number}")).unwrap();
                invoice.billed_at = self.now;
                let before: Vec<WalletState> = self.wallets.clone();
                self.events.extend(pay(&mut invoice, &mut self.wallets, self.now).unwrap());
                check_order(&before, &self.wallets, &invoice);
                self.invoices.push(invoice);
            }
            Step::GiveBack { which, part } => {
                let Some(invoice) = self.invoices.get(which % self.invoices.len().max(1)) else { return };
                let movements: Vec<_> = self.events.iter().filter_map(movement).cloned().collect();
                for state in &mut self.wallets {
                    self.events.extend(give_back(state, &invoice.id, &movements, part.map(usd), self.now).unwrap());
                }
            }
            Step::Expire => {
                for state in &mut self.wallets {
                    let ids: Vec<GrantId> = state.grants.iter().map(|it| it.grant.id.clone()).collect();
                    for id in ids {
                        self.events.extend(expire(state, &id, self.now).unwrap());
                    }
                }
            }
        }
        self.now += chrono::Duration::hours(31);
    }

    /// Accounts from the ledger alone.
    fn account(&self, account: Account) -> BTreeMap<String, Decimal> {
        let mut sums = BTreeMap::new();
        for entry in self.events.iter().filter_map(movement).flat_map(|it| &it.entries) {
            if entry.account == account {
                *sums.entry(entry.unit.clone()).or_insert(Decimal::ZERO) += entry.amount;
            }
        }
        sums
    }
}

/// Whoever is spent in part, or not at all although it could pay everything, is the last.
fn check_order(before: &[WalletState], after: &[WalletState], invoice: &Invoice) {
    let rank = |row: &CreditApplied| {
        let state = before.iter().find(|it| it.wallet.id == row.wallet).unwrap();
        let grant = &state.grant(&row.grant).unwrap().grant;
        (grant.priority, grant.expires_at.is_none(), grant.expires_at)
    };
    assert!(invoice.credits.windows(2).all(|pair| rank(&pair[0]) <= rank(&pair[1])), "{:?}", invoice.credits);
    // While something is due, whoever pays for everything has less than a cent left.
    let valid = |state: &&GrantState| state.grant.pays_between(invoice.billed_at, invoice.billed_at);
    if invoice.amount_due().minor > 0 {
        for state in after.iter().filter(|state| state.wallet.prices.is_empty()) {
            for grant in state.grants.iter().filter(valid) {
                assert_eq!(state.wallet.unit.worth(grant.remaining, invoice.currency), Some(usd(0)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_course_of_things_unbalances_the_ledger_or_overdraws(steps in prop::collection::vec(step(), 1..50)) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            // A movement that would overdraw or not balance is an error, which unwraps.
            world.apply(number, step);
        }
        let movements: Vec<&LedgerTransaction> = world.events.iter().filter_map(movement).collect();
        for movement in &movements {
            movement.verify().unwrap();
        }
        for state in &world.wallets {
            let numbers: Vec<u64> = movements.iter().filter(|it| it.wallet == state.wallet.id).map(|it| it.number).collect();
            prop_assert_eq!(numbers, (1..=state.transactions).collect::<Vec<_>>());
            for grant in &state.grants {
                prop_assert!(grant.remaining >= Units::ZERO && grant.remaining <= grant.grant.amount);
                prop_assert!(grant.deferred.is_none_or(|left| left.minor >= 0 && left.minor <= grant.grant.cost.unwrap().minor));
                // What is gone takes its whole cost along.
                prop_assert!(grant.remaining.is_positive() || grant.deferred.is_none_or(|left| left.is_zero()));
            }
        }
        // Balances are what the ledger says, in units and in money.
        let held: i64 = world.wallets.iter().filter(|it| it.wallet.unit.name() == "USD")
            .flat_map(|it| &it.grants).map(|it| it.remaining.millionths()).sum();
        let told = world.account(Account::Wallet).get("USD").copied().unwrap_or_default();
        prop_assert_eq!(Decimal::from_i128_with_scale(-i128::from(held), 6).normalize(), told.normalize());
        let deferred: i64 = world.wallets.iter().flat_map(|it| &it.grants).filter_map(|it| it.deferred).map(|it| it.minor).sum();
        let told = world.account(Account::DeferredRevenue).get("USD").copied().unwrap_or_default();
        prop_assert_eq!(usd(-deferred).to_decimal().normalize(), told.normalize());
        // Replayed, the events make the same wallets.
        for state in &world.wallets {
            let stream = JournalEvent::WalletCreated(state.wallet.clone()).stream();
            let mut again = Some(empty(state.wallet.clone()));
            for event in world.events.iter().filter(|event| event.stream() == stream) {
                again = evolve(again, event).unwrap();
            }
            prop_assert_eq!(again.as_ref(), Some(state));
        }
    }
}

proptest! {
    /// Money to units and back, at any rate and any currency's exponent: never more is paid than was taken, and the least is
    /// taken that pays it.
    #[test]
    fn a_conversion_takes_the_least_that_pays(
        mantissa in 1..2_000_000_000_000_i64,
        scale in 6..=12_u32,
        code in prop::sample::select(vec!["JPY", "USD", "KWD", "CLF"]),
        minor in 1..1_000_000_000_i64,
        held in 1..1_000_000_000_000_i64,
    ) {
        let rate = Decimal::from_i128_with_scale(mantissa.into(), scale).normalize();
        let unit: WalletUnit =
            serde_json::from_str(&format!(r#"{{"custom":{{"name":"c","rates":{{"{code}":"{rate}"}}}}}}"#)).unwrap();
        let money = Money::new(minor, Currency::parse(code).unwrap());
        if let Some(taken) = unit.units_for(money) {
            prop_assert!(unit.worth(taken, money.currency).unwrap().minor >= minor);
            let less = Units::from_millionths(taken.millionths() - 1).unwrap();
            prop_assert!(unit.worth(less, money.currency).unwrap().minor < minor);
        }
        let held = Units::from_millionths(held).unwrap();
        let worth = unit.worth(held, money.currency).unwrap();
        prop_assert!(worth.minor == 0 || unit.units_for(worth).unwrap() <= held);
    }
}
