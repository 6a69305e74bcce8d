//! `docs/pricing.md`: the examples as a page for people, generated and compared.

use super::{wallets, *};
use crate::discount::CouponDuration;
use crate::invoice::Invoice;
use crate::money::group_thousands;
use crate::period::{Interval, zone::local};
use crate::subscription::{Alteration, ChangeRequest, Effective, InvoiceTiming, Proration, Quantities};
use crate::tax::Exemption;
use chrono::{DateTime, Utc};
use std::fmt::Write;

const HEAD: &str = "# Pricing, by worked examples

Each example is a file of `schemas/examples/simulate` and was computed by the functions that bill for real:

    talea simulate schemas/examples/simulate/105-graduated.json

This page is generated from these files; a test compares it. To write it anew: `TALEA_UPDATE_GOLDEN=1 cargo test -p talea-domain simulation`.
";

/// By the first digit of the examples' names.
const CHAPTERS: [(&str, char); 6] = [
    ("Price models", '1'),
    ("Lifecycle", '2'),
    ("Changes", '3'),
    ("Discounts and taxes", '5'),
    ("Credits", '6'),
    ("Payments and corrections", '7'),
];

#[test]
fn the_page_of_worked_examples_is_as_generated() {
    let mut page = HEAD.to_owned();
    for (title, numbers) in CHAPTERS {
        let documents: Vec<_> = documents().into_iter().filter(|(name, _)| name.starts_with(numbers)).collect();
        if !documents.is_empty() {
            write!(page, "\n## {title}\n").unwrap();
        }
        documents.iter().for_each(|(name, text)| example(&mut page, name, text));
    }
    check_stored(&top().join("docs/pricing.md"), &page);
}

fn example(page: &mut String, name: &str, text: &str) {
    let document = parse(text).unwrap();
    let result = simulate(document.clone()).unwrap();
    let title = document.title.as_deref().unwrap_or(name);
    write!(page, "\n### {title}\n\n`{name}.json`. {}\n\n", document.description.as_deref().unwrap_or_default())
        .unwrap();
    plans(page, &document);
    terms(page, &document);
    timeline(page, &document);
    usage(page, &document);
    for view in &result.views {
        show(page, view, result.views.len() > 1);
    }
}

fn plans(page: &mut String, document: &SimulationDocument) {
    for plan in &document.plans {
        let every = match plan.interval {
            Interval::MONTHLY => String::new(),
            Interval { unit, every: 1 } => format!(", every {}", unit.plural().trim_end_matches('s')),
            Interval { unit, every } => format!(", every {every} {}", unit.plural()),
        };
        let commitment = plan.commitment.as_ref().map(words::commitment).unwrap_or_default();
        writeln!(page, "- Plan **{}**{every}{commitment}:", plan.name).unwrap();
        for price in &plan.prices {
            writeln!(page, "    - {}: {}", price.name, words::price(price)).unwrap();
        }
    }
}

/// Coupons and taxes.
fn terms(page: &mut String, document: &SimulationDocument) {
    for coupon in &document.coupons {
        let duration = match coupon.duration {
            CouponDuration::Once => "once".to_owned(),
            CouponDuration::Repeating { periods } => format!("for {periods} invoices"),
            CouponDuration::Forever => "for ever".to_owned(),
        };
        let prices = coupon.prices.iter().map(|price| format!("`{price}`")).collect::<Vec<_>>().join(", ");
        let prices = if prices.is_empty() { prices } else { format!(", on {prices}") };
        let what = coupon.describe(document.currency);
        let what = what.split_once(": ").map_or(what.as_str(), |(_, what)| what);
        let alone = if coupon.stackable { "" } else { ", alone on its lines" };
        writeln!(page, "- Coupon `{}`: {what}, {duration}{prices}{alone}", coupon.key).unwrap();
    }
    for rate in document.taxes.iter().flat_map(|taxes| &taxes.rates) {
        let category = rate.category.as_ref().map(|category| format!(" on `{category}`")).unwrap_or_default();
        let from = rate.valid_from.map(|day| format!(", from {day}")).unwrap_or_default();
        let to = rate.valid_to.map(|day| format!(", before {day}")).unwrap_or_default();
        let included = if rate.included { ", included in the price" } else { "" };
        let (name, percent, place) = (&rate.name, rate.rate_percent, &rate.jurisdiction);
        writeln!(page, "- Tax: {name} {percent} % in {place}{category}{included}{from}{to}").unwrap();
    }
    for tenant in &document.tenants {
        let id = tenant.bill_to.as_ref().and_then(|party| party.tax_id.as_ref());
        for tax in tenant.tax.iter().chain(&tenant.tax_profiles) {
            let from = tax.valid_from.map(|day| format!(", from {day}")).unwrap_or_default();
            let registered = match (tax.registered, id) {
                (Some(false), _) => ", not registered for tax".to_owned(),
                (_, Some(id)) => format!(", tax id {id}"),
                (Some(true), None) => ", registered for tax".to_owned(),
                (None, None) => String::new(),
            };
            let exempt: String = tax.exemptions.iter().map(exempt).collect();
            writeln!(page, "- {} is in {}{registered}{from}{exempt}", tenant.id, tax.jurisdiction).unwrap();
        }
    }
}

fn exempt(exemption: &Exemption) -> String {
    let what = exemption.category.as_ref().map(|category| format!(" on `{category}`")).unwrap_or_default();
    let from = exemption.valid_from.map(|day| format!(", from {day}")).unwrap_or_default();
    let to = exemption.valid_to.map(|day| format!(", before {day}")).unwrap_or_default();
    format!(", exempt{what} by {}{from}{to}", exemption.reason)
}

fn timeline(page: &mut String, document: &SimulationDocument) {
    for entry in &document.timeline {
        writeln!(page, "- {}: {}", print(entry.at), command(document, entry)).unwrap();
    }
}

/// A command in words; by its name alone where it has no words of its own here.
fn command(document: &SimulationDocument, entry: &TimelineEntry) -> String {
    let of = entry.subscription.as_ref().map(|id| format!("`{id}`")).unwrap_or_default();
    if let Some(start) = &entry.start {
        let zone = document.tenants.iter().find(|it| it.id == start.tenant).unwrap().zone;
        let from = start.start_at.map(|at| format!(", from {}", print(at))).unwrap_or_default();
        let to = start.end_at.map(|at| format!(", to {}", print(at))).unwrap_or_default();
        let bought: Vec<String> =
            start.quantities.iter().map(|(price, quantity)| format!(", {quantity} `{price}`")).collect();
        let trial = start.trial.as_ref().map(|trial| {
            let then = if trial.converts { "" } else { " and ends with it" };
            format!(", in a trial until {}{then}", print(trial.until))
        });
        let phases: Vec<String> =
            start.phases.iter().map(|phase| format!(", then `{}` from {}", phase.plan, print(phase.at))).collect();
        let more = format!("{}{}{}", bought.concat(), trial.unwrap_or_default(), phases.concat());
        let currency = start.currency.map(|currency| format!(", in {currency}")).unwrap_or_default();
        return format!("{of} of {} ({zone}) starts on `{}`{currency}{from}{to}{more}", start.tenant, start.plan);
    }
    if let Some(cancel) = &entry.cancel {
        let when = cancel.mode.map(word).or(cancel.effective_at.map(word)).unwrap();
        return format!("{of} is cancelled, `{when}`{}", at_once(cancel.invoice));
    }
    if let Some((_, request)) = entry.change() {
        return format!("{of} {}", change(&request));
    }
    if let Some(words) = receivables::command(entry) {
        return words;
    }
    if let Some(apply) = &entry.apply_coupon {
        let from = apply.from.map(|at| format!(", from {}", print(at))).unwrap_or_default();
        return format!("{of} gets coupon `{}`{from}", apply.coupon);
    }
    if let Some(grant) = &entry.grant_credit {
        return wallets::granted(grant, print);
    }
    if let Some(top_up) = &entry.top_up {
        return format!("the order of wallet `{}` is paid", top_up.wallet);
    }
    if let Some(add) = &entry.add_charges {
        return words::charges(add);
    }
    if let Some(withdraw) = &entry.withdraw_charge {
        return format!("charge `{}` is withdrawn", withdraw.charge);
    }
    let there = commands::COMMANDS.iter().find(|command| (command.is_there)(entry)).unwrap();
    format!("{of} {}", there.name.replace('_', " ")).trim_start().to_owned()
}

fn change(request: &ChangeRequest) -> String {
    let terms = request.clone().terms(0);
    let bought = |quantities: &Quantities| {
        let each: Vec<String> = quantities.iter().map(|(price, quantity)| format!("{quantity} `{price}`")).collect();
        if each.is_empty() { String::new() } else { format!(" with {}", each.join(", ")) }
    };
    let of = |add_on: &Option<crate::id::AddOnKey>| {
        add_on.as_ref().map(|key| format!(" of add-on `{key}`")).unwrap_or_default()
    };
    let what = match &terms.what {
        Alteration::PlanChanged { plan, quantities, .. } => format!("changes to `{plan}`{}", bought(quantities)),
        Alteration::QuantityChanged { add_on, quantities } => format!("goes on{}{}", bought(quantities), of(add_on)),
        Alteration::AddOnAdded { add_on, plan, quantities, .. } => {
            format!("adds `{add_on}`, which is `{plan}`{}", bought(quantities))
        }
        Alteration::AddOnRemoved { add_on } => format!("removes `{add_on}`"),
        Alteration::Paused => "is paused".to_owned(),
        Alteration::Resumed => "is resumed".to_owned(),
        Alteration::PriceOverridden { add_on, price, model: Some(own) } => {
            format!("has its own `{price}`{}: {}", of(add_on), words::model(own))
        }
        Alteration::PriceOverridden { add_on, price, model: None } => {
            format!("has the plan's `{price}`{} again", of(add_on))
        }
        Alteration::Ended => "ends".to_owned(),
        Alteration::Reactivated { .. } => "is reactivated".to_owned(),
    };
    let when = match terms.effective {
        Effective::Now => String::new(),
        Effective::PeriodEnd => ", at the period's end".to_owned(),
        Effective::At(at) => format!(", from {}", print(at)),
    };
    let proration = match terms.proration {
        Proration::None => ", not prorated",
        Proration::ByDay => ", prorated by day",
        Proration::BySecond => "",
    };
    format!("{what}{when}{proration}{}", at_once(terms.invoice))
}

fn at_once(invoice: InvoiceTiming) -> &'static str {
    if invoice == InvoiceTiming::Now { ", billed at once" } else { "" }
}

/// An enum's value as JSON writes it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn usage(page: &mut String, document: &SimulationDocument) {
    if document.usage.is_empty() {
        return;
    }
    page.push_str("\n| usage | when (UTC) | known |\n|---:|---|---|\n");
    for usage in &document.usage {
        let known = usage.known_at.map(print).unwrap_or_default();
        let (what, when) = match (&usage.event, &usage.void) {
            (None, Some(void)) => (format!("void of `{}`, {}", void.id, void.reason), String::new()),
            (Some(event), _) => {
                let event: serde_json::Value = serde_json::from_str(event.get()).unwrap();
                let time: DateTime<Utc> = event["time"].as_str().unwrap().parse().unwrap();
                (format!("event {} `{}`", event["id"].as_str().unwrap(), event["data"]), print(time))
            }
            (None, None) => {
                let quantity = group_thousands(usage.quantity.unwrap(), 0);
                let span = usage.from.zip(usage.to).map(|(from, to)| format!("{} to {}", print(from), print(to)));
                let when = span.or(usage.at.map(print)).unwrap();
                let values = match words::values(&usage.dimensions) {
                    none if none.is_empty() => none,
                    values => format!(", {values}"),
                };
                let of = usage.tenant.as_ref().filter(|_| document.tenants.len() > 1);
                let of = of.map(|tenant| format!(" of {tenant}")).unwrap_or_default();
                (format!("{quantity} `{}`{values}{of}", usage.meter.as_ref().unwrap()), when)
            }
        };
        writeln!(page, "| {what} | {when} | {known} |").unwrap();
    }
}

fn show(page: &mut String, view: &View, is_one_of_many: bool) {
    if is_one_of_many {
        writeln!(page, "\n**As of {}**", print(view.as_of)).unwrap();
    }
    for invoice in view.invoices.iter().map(AsRef::as_ref).chain(&view.drafts) {
        document(page, invoice);
    }
    page.push_str("\n| subscription | period (local) | state | usage | its lines, before discount and tax |\n|---|---|---|---|---:|\n");
    for subscription in &view.subscriptions {
        for period in &subscription.periods {
            let zone = subscription.subscription.zone;
            let local = |instant| local(instant, zone).format("%Y-%m-%d %H:%M").to_string().replace(" 00:00", "");
            let span = format!("{} to {}", local(period.served.start), local(period.served.end));
            let state = format!("{:?}", period.state).to_lowercase();
            let usage = period.usage.iter().map(|(meter, used)| format!("{} {meter}", group_thousands(used.0, 0)));
            let usage = usage.collect::<Vec<_>>().join(", ");
            writeln!(page, "| {} | {span} | {state} | {usage} | {} |", subscription.subscription.id, period.billed)
                .unwrap();
        }
    }
    receivables::show(page, view);
    for wallet in &view.wallets {
        wallets::wallet(page, wallet, print);
    }
    for unbilled in &view.unbilled_usage {
        writeln!(page, "\nNot billed: `{}`, {}.", unbilled.usage, unbilled.reason).unwrap();
    }
}

fn document(page: &mut String, invoice: &Invoice) {
    let issued = invoice.number.as_deref().zip(invoice.issue_date).zip(invoice.due_date);
    let head =
        issued.map_or("Draft".to_owned(), |((number, on), due)| format!("Invoice {number}, issued {on}, due {due}"));
    writeln!(page, "\n**{head}**, to {}\n", invoice.bill_to.name).unwrap();
    page.push_str("| line | amount |\n|---|---:|\n");
    for line in &invoice.lines {
        let explained: String = line.explanation.iter().map(|sentence| format!("<br>{sentence}")).collect();
        writeln!(page, "| {}{explained} | {} |", line.description, line.amount).unwrap();
    }
    below_the_lines(page, invoice);
    writeln!(page, "| **Total** | **{}** |", invoice.total).unwrap();
    wallets::credits(page, invoice);
    invoice.notes.iter().for_each(|note| writeln!(page, "\n{note}").unwrap());
}

fn below_the_lines(page: &mut String, invoice: &Invoice) {
    for row in &invoice.discounts {
        let explained: String = row.explanation.iter().map(|sentence| format!("<br>{sentence}")).collect();
        let split = row.lines.iter().map(|share| format!("{} on line {}", share.amount, share.line));
        let split = split.collect::<Vec<_>>().join(", ");
        writeln!(page, "| {}{explained}<br>{split} | {} |", row.description, negative(row.amount)).unwrap();
    }
    for row in &invoice.taxes {
        let place = row.jurisdiction.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
        let category = row.category.as_ref().map(|category| format!(", {category}")).unwrap_or_default();
        let (rate, base) = (row.rate_percent, row.base);
        let included = if row.included { "included: " } else { "" };
        writeln!(page, "| {included}{} {rate} %{place}{category}, on {base} | {} |", row.name, row.amount).unwrap();
    }
}

fn negative(amount: crate::money::Money) -> crate::money::Money {
    amount.checked_neg().unwrap()
}

/// UTC, as short as it is exact.
fn print(instant: DateTime<Utc>) -> String {
    let text = instant.format("%Y-%m-%d %H:%M:%S").to_string();
    let text = text.strip_suffix(":00").unwrap_or(&text);
    text.strip_suffix(" 00:00").unwrap_or(text).to_owned()
}
