//! How fast the core is, on one core: `cargo bench -p talea-bench --bench pricing`.
//!
//! Each figure stands beside its ceiling from the same run: for a simulation, what serde_json needs to read the same document
//! into a tree and to write the same result from one.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use talea_domain::invoice::InvoiceSettings;
use talea_domain::invoice::{BillInput, BillTerms, Invoice, UsageFigure, assemble, verify};
use talea_domain::party::Party;
use talea_domain::plan::PlanVersion;
use talea_domain::simulation::simulate_line;
use talea_domain::subscription::{
    BillMoment, Progress, StartOptions, StartTerms, Subscription, SubscriptionCommand, UsageNeed, bill_moments, decide,
    evolve,
};

/// Small documents: a flat fee, and usage in tiers.
const DOCUMENTS: [&str; 3] = ["101-flat-in-advance", "104-per-unit-included", "105-graduated"];
/// How long each side of a ratio is measured.
const SPAN: Duration = Duration::from_secs(3);

/// A subscription of five prices, with the usage of its first month.
struct Account {
    plan: PlanVersion,
    subscription: Subscription,
    moment: BillMoment,
    usage: BTreeMap<UsageNeed, UsageFigure>,
    settings: InvoiceSettings,
    bill_to: Party,
}

impl Account {
    fn new() -> Self {
        let price = |key: &str, model| json!({ "key": key, "name": key, "model": model });
        let usd = |amount: &str| json!({ "USD": amount });
        let plan = json!({ "key": "scale", "version": 1, "name": "Scale", "prices": [
            price("base", json!({ "type": "flat", "timing": "in_arrears", "amount": usd("49") })),
            price("calls", json!({ "type": "per_unit", "meter": "calls", "included": "1000", "unit_amount": usd("0.0004") })),
            price("tokens", json!({ "type": "graduated", "meter": "tokens", "tiers": [
                { "up_to": "1000000", "unit_amount": usd("0.000003") }, { "unit_amount": usd("0.0000021") }] })),
            price("storage", json!({ "type": "per_unit", "meter": "storage", "unit_amount": usd("0.023") })),
            price("support", json!({ "type": "flat", "timing": "in_arrears", "amount": usd("9.99") })) ] });
        let plan: PlanVersion = serde_json::from_value(plan).expect("a plan");
        let start = "2026-09-01T00:00:00Z".parse().expect("an instant");
        let terms = StartTerms {
            id: "sub_1".parse().expect("an id"),
            tenant: "acme".parse().expect("an id"),
            currency: "USD".parse().expect("a currency"),
            zone: chrono_tz::UTC,
            calendar: None,
            anchor_day: None,
            start_at: start,
            end_at: None,
            options: StartOptions::default(),
        };
        let event = decide(None, &SubscriptionCommand::Start { terms, plan: &plan }, start).expect("it may start");
        let subscription = evolve(None, &event).expect("it started");
        let as_of = "2026-10-01T00:00:00Z".parse().expect("an instant");
        let moments = bill_moments(&subscription, &plan, Progress::default(), as_of).expect("a calendar");
        let window = moments[0].closes.expect("a month is over").served;
        let figure = |(meter, quantity): (&str, &str)| {
            let quantity = quantity.parse().expect("a quantity");
            let figure = UsageFigure {
                quantity,
                event_count: 12_345,
                digest: "0".repeat(64),
                cut: vec![100, 200],
                meter_version: 1,
                groups: Vec::new(),
                splits: Vec::new(),
                held: Vec::new(),
            };
            (UsageNeed { meter: meter.parse().expect("a key"), window }, figure)
        };
        let usage = [("calls", "12345"), ("tokens", "4567890"), ("storage", "812.5")].map(figure);
        let settings = InvoiceSettings {
            issuer: Party::named("Issuer"),
            series: "INV".to_owned(),
            due_days: 30,
            empty_invoices: false,
        };
        let moment = moments.into_iter().next().expect("a month is over");
        Self { plan, subscription, moment, usage: usage.into(), settings, bill_to: Party::named("acme") }
    }

    fn invoice(&self) -> Invoice {
        let invoice = assemble(&BillInput {
            subscription: &self.subscription,
            plans: &self.plan,
            moment: &self.moment,
            usage: &self.usage,
            billed: &[],
            late: &BTreeMap::new(),
            settings: &self.settings,
            bill_to: &self.bill_to,
            terms: BillTerms::default(),
        });
        let invoice = invoice.expect("it can be rated");
        verify(&invoice).expect("it adds up");
        invoice
    }
}

fn documents() -> Vec<(&'static str, String)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/examples/simulate"));
    let read = |name| std::fs::read_to_string(folder.join(name).with_extension("json")).expect("an example");
    // On one line, as in a stream of documents.
    let line = |text: String| serde_json::from_str::<Value>(&text).expect("JSON").to_string();
    DOCUMENTS.into_iter().map(|name| (name, line(read(name)))).collect()
}

fn invoices(criterion: &mut Criterion) {
    let account = Account::new();
    assert_eq!(account.invoice().lines.len(), 5);
    criterion.bench_function("assemble an invoice of five lines", |bench| bench.iter(|| black_box(&account).invoice()));
}

fn simulations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulate a document");
    group.throughput(Throughput::Elements(1));
    for (name, text) in documents() {
        group.bench_with_input(BenchmarkId::from_parameter(name), &text, |bench, text| {
            bench.iter(|| simulate_line(black_box(text)));
        });
    }
    group.finish();
}

/// What the reading and writing of JSON alone would cost.
fn ceilings() {
    for (name, text) in documents() {
        let result = simulate_line(&text).expect("a result");
        let tree: Value = serde_json::from_str(&result).expect("JSON");
        let simulated = per_second(|| drop(black_box(simulate_line(black_box(&text)))));
        let json = per_second(|| {
            drop(black_box(serde_json::from_str::<Value>(black_box(&text))));
            drop(black_box(serde_json::to_string(black_box(&tree))));
        });
        let (percent, read, written) = (simulated * 100 / json.max(1), text.len(), result.len());
        let line = format!(
            "{name}: {simulated} documents/s of one core; JSON of {read} bytes in and {written} out alone {json}/s: {percent} %"
        );
        writeln!(std::io::stdout(), "{line}").expect("somebody reads");
    }
}

fn per_second(mut work: impl FnMut()) -> u128 {
    let (begin, begin_busy, mut done) = (Instant::now(), busy(), 0_u128);
    while begin.elapsed() < SPAN {
        (0..100).for_each(|_| work());
        done += 100;
    }
    let took = begin_busy.zip(busy()).map_or(begin.elapsed(), |(begin, end)| end - begin);
    done * 1_000_000 / took.as_micros().max(1)
}

/// How long this thread had a core, where the system tells: others may run beside it.
fn busy() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

criterion_group!(pricing, invoices, simulations);

fn main() {
    pricing();
    Criterion::default().configure_from_args().final_summary();
    ceilings();
}
