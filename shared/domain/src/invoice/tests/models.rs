//! A line of each price model of usage, and what late usage and a short period make of them.

use super::*;
use crate::rating::UsageGroup;

const GOLDEN: &str = include_str!("../../../../../schemas/golden/invoice/models.v1.json");

const USAGE: [(&str, &str); 7] = [
    ("api_calls", "12500"),
    ("messages", "3200"),
    ("payments", "6000"),
    ("payouts", "12000"),
    ("provider_cost", "41.23"),
    ("tokens", "4500000"),
    ("compute_seconds", "9001"),
];

fn account(start: &str) -> Account {
    let mut account = Account::new("tokens", start, None);
    account.plan = serde_json::from_str(include_str!("../../../../../schemas/golden/plan/models.v1.json")).unwrap();
    account.subscription.plan = account.plan.key.clone();
    account.subscription.plan_version = account.plan.version;
    account
}

/// The figures as metering would give them: with the events of the card payments, and tokens by model and region.
fn measured(changes: &[(&str, &str)]) -> BTreeMap<MeterKey, UsageFigure> {
    let mut figures = figures(&USAGE);
    figures.extend(super::figures(changes));
    let figure = |meter: &str| MeterKey::parse(meter).unwrap();
    figures.get_mut(&figure("payments")).unwrap().event_count = 120;
    let group = |model: &str, region: &str, quantity: &str| UsageGroup {
        values: [("model".to_owned(), model.to_owned()), ("region".to_owned(), region.to_owned())].into(),
        quantity: decimal(quantity),
    };
    figures.get_mut(&figure("tokens")).unwrap().groups =
        vec![group("large", "eu", "1000000"), group("large", "us", "500000"), group("small", "eu", "3000000")];
    figures
}

fn bill(account: &mut Account, as_of: &str, late: &[(&str, &str)]) -> Invoice {
    let moment = account.due(as_of).remove(0);
    let billed: Vec<BilledLine> = account.invoices.iter().flat_map(BilledLine::of).collect();
    let window = account.invoices.first().map(|invoice| invoice.period);
    let late = window.iter().flat_map(|window| in_window(&measured(late), *window)).collect();
    let invoice = assemble(&BillInput {
        subscription: &account.subscription,
        plans: &account.plan,
        moment: &moment,
        usage: &needed(&moment, &measured(&[])),
        billed: &billed,
        late: &late,
        settings: &settings(),
        bill_to: &Party::named("Acme Inc."),
        terms: BillTerms::default(),
    })
    .unwrap();
    verify(&invoice).unwrap();
    account.invoices.push(invoice.clone());
    invoice
}

#[test]
fn every_model_makes_a_line_that_explains_itself() {
    let mut account = account(NOVEMBER.0);
    let invoice = bill(&mut account, "2023-12-01T00:00:00Z", &[]);
    assert_eq!(
        account.lines(0),
        [
            "API calls, 2023-11-01 to 2023-11-30 = 12.00 USD",
            "Messages, 2023-11-01 to 2023-11-30 = 15.00 USD",
            "Card payments, 2023-11-01 to 2023-11-30 = 178.00 USD",
            "Payouts, 2023-11-01 to 2023-11-30 = 65.00 USD",
            "Inference by others, 2023-11-01 to 2023-11-30 = 49.48 USD",
            "Tokens, 2023-11-01 to 2023-11-30 = 36.50 USD",
            "Compute hours, 2023-11-01 to 2023-11-30 = 100.00 USD",
        ]
    );
    assert_eq!(
        invoice.lines[6].explanation,
        ["9,001 / 3,600 rounded up = 3", "3 x 0.12 USD = 0.36 USD", "minimum 100.00 USD less 0.36 USD = 99.64 USD",]
    );
    let made = serde_json::to_string_pretty(&invoice).unwrap();
    assert_eq!(made, GOLDEN.trim_end(), "\n{made}\n");
    assert_eq!(serde_json::from_str::<Invoice>(GOLDEN).unwrap(), invoice);
}

#[test]
fn a_short_period_commits_to_its_share_and_late_usage_uses_it_up_first() {
    let mut account = account("2023-11-16T00:00:00Z");
    bill(&mut account, "2023-12-01T00:00:00Z", &[]);
    assert_eq!(account.lines(0)[6], "Compute hours, 2023-11-16 to 2023-11-30 = 50.00 USD");
    // 100 hours are 12 USD: still below the minimum of half a month.
    bill(&mut account, "2024-01-01T00:00:00Z", &[("compute_seconds", "360000")]);
    assert_eq!(account.lines(1).len(), 7, "no adjustment");
    // 500 hours are 60 USD, of which the minimum has paid 50; and past its cliff, volume is cheaper than it was.
    let late = [("compute_seconds", "1800000"), ("api_calls", "9000")];
    let invoice = bill(&mut account, "2024-02-01T00:00:00Z", &late);
    assert_eq!(
        account.lines(2)[7..],
        [
            "Late usage: API calls, 2023-11-16 to 2023-11-30 = -3.00 USD",
            "Late usage: Compute hours, 2023-11-16 to 2023-11-30 = 10.00 USD",
        ]
    );
    assert_eq!(
        invoice.lines[8].explanation,
        [
            "usage billed so far 9,001, now 1,800,000",
            "1,800,000 / 3,600 rounded up = 500",
            "500 x 0.12 USD = 60.00 USD",
            "60.00 USD less 50.00 USD billed so far = 10.00 USD",
        ]
    );
}
