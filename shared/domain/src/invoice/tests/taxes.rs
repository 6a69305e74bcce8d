//! What must hold for the taxes of any lines.

use super::super::line_tax::sum_by_tax;
use super::super::taxes::{Taxed, tax};
use super::*;
use crate::id::TaxCategory;
use crate::tax::{TaxAnswer, TaxProfile, TaxQuestion, TaxSettings, TaxTerms};
use proptest::prelude::*;
use serde_json::json;

const CATEGORIES: [Option<&str>; 3] = [None, Some("books"), Some("food")];

/// A line of an amount; its category by its place in the list of categories.
fn line(number: u32, minor: i64, category: usize) -> InvoiceLine {
    let mut line = trace("1000000", "0").invoices[0].lines[0].clone();
    line.number = number;
    line.amount = usd(minor);
    line.tax_category = CATEGORIES[category].map(|key| TaxCategory::parse(key).unwrap());
    line
}

fn lines(amounts: &[(i64, usize)]) -> Vec<InvoiceLine> {
    (1..).zip(amounts).map(|(number, (minor, category))| line(number, *minor, *category)).collect()
}

fn settings(rates: [&str; 3], included: bool) -> TaxSettings {
    let rate = |name: &str, category: Option<&str>, percent: &str| {
        let place = json!({"country": "DE"});
        json!({"name": name, "jurisdiction": place, "category": category, "rate_percent": percent, "included": included})
    };
    let rates = [rate("VAT", None, rates[0]), rate("VAT", Some("books"), rates[1]), rate("Levy", None, rates[2])];
    serde_json::from_value(json!({"seller": {"country": "DE"}, "rates": rates})).unwrap()
}

fn taxed(settings: &TaxSettings, lines: &[InvoiceLine]) -> Taxed {
    let profiles: &[TaxProfile] = &[];
    let terms = TaxTerms::Rates { settings, profiles };
    tax(terms, &Party::named("Acme"), usd(0).currency, chrono_tz::UTC, lines).unwrap()
}

fn check(included: bool, amounts: &[(i64, usize)], expect: &[&str]) {
    let lines = lines(amounts);
    let taxed = taxed(&settings(["19", "7", "0.5"], included), &lines);
    let rows = taxed.rows.iter().map(|row| {
        let shares = row.lines.iter().map(|share| format!(" {}:{}", share.line, share.amount.minor));
        let shares = shares.collect::<String>();
        format!("{} {} on {} = {}:{shares}", row.name, row.rate_percent, row.base.minor, row.amount.minor)
    });
    assert_eq!(rows.collect::<Vec<_>>(), expect);
}

#[test]
fn a_rate_is_one_row_over_all_its_lines_rounded_once() {
    check(
        false,
        &[(333, 0), (333, 0), (999, 1), (333, 2)],
        &["Levy 0.5 on 1998 = 10: 1:2 2:2 3:5 4:1", "VAT 19 on 999 = 190: 1:64 2:63 4:63", "VAT 7 on 999 = 70: 3:70"],
    );
    // 1.195 is contained in the price; what is left is the base of both taxes.
    check(true, &[(11_950, 0)], &["Levy 0.5 on 10000 = 50: 1:50", "VAT 19 on 10000 = 1900: 1:1900"]);
}

#[test]
fn charges_and_credits_of_one_rate_are_added_before_they_are_taxed() {
    check(
        false,
        &[(10_000, 0), (-2_000, 0)],
        &["Levy 0.5 on 8000 = 40: 1:50 2:-10", "VAT 19 on 8000 = 1520: 1:1900 2:-380"],
    );
    check(false, &[(-50, 0)], &["Levy 0.5 on -50 = 0: 1:0", "VAT 19 on -50 = -10: 1:-10"]);
    check(false, &[], &[]);
    check(false, &[(0, 0)], &[]);
}

#[test]
fn a_line_is_taxed_by_the_last_day_of_its_period_where_the_customer_is() {
    let mut line = line(1, 100, 0);
    line.period = Period::new(at("2023-11-30T23:00:00Z"), at("2023-12-31T23:00:00Z"));
    assert_eq!(tax_day(&line, chrono_tz::Europe::Berlin).unwrap().to_string(), "2023-12-31");
    assert_eq!(tax_day(&line, chrono_tz::Asia::Tokyo).unwrap().to_string(), "2024-01-01");
}

#[test]
fn an_engine_outside_is_asked_about_what_is_left_and_its_answer_is_taken() {
    let mut account = trace("18059974", "245896");
    let question = TaxQuestion::about(&account.invoices[0], Vec::new()).unwrap();
    let asked: Vec<(u32, i64, String)> =
        question.lines.iter().map(|line| (line.line, line.amount.minor, line.day.to_string())).collect();
    assert_eq!(asked, [(1, 5418, "2023-11-30".to_owned()), (2, 369, "2023-11-30".to_owned())]);
    let money = |minor: i64| json!({"amount_minor": minor.to_string(), "currency": "USD"});
    let row = json!({"name": "Sales tax", "rate_percent": "8.875", "base": money(5787), "amount": money(514)});
    let answer: TaxAnswer = serde_json::from_value(json!({"rows": [row], "notes": ["Filed by others"]})).unwrap();
    account.terms_answered = Some(answer.clone());
    account.invoices.clear();
    account.bill("2023-12-02T00:00:00Z", &[("tokens_in", "18059974"), ("tokens_out", "245896")], &[]);
    let invoice = &account.invoices[0];
    assert_eq!((invoice.tax, invoice.total), (usd(514), usd(6301)));
    assert_eq!(invoice.notes, ["Filed by others"]);
    let shares: Vec<i64> = invoice.taxes[0].lines.iter().map(|share| share.amount.minor).collect();
    assert_eq!(shares, [481, 33], "lines that the engine left out are split by their amounts");
    // An answer in another currency is refused.
    let mut wrong = answer;
    wrong.rows[0].amount = Money::new(514, Currency::parse("EUR").unwrap());
    account.terms_answered = Some(wrong);
    let moment = Account::new("tokens", NOVEMBER.0, Some(NOVEMBER.1)).due("2023-12-02T00:00:00Z").remove(0);
    let usage = [("tokens_in", "18059974"), ("tokens_out", "245896")];
    assert!(account.assemble(&moment, &usage, &[]).is_err());
}

/// The line with everything that was billed for it in earlier documents, so that it changes by `change`.
fn corrected(mut line: InvoiceLine, earlier: &[(InvoiceLine, Taxed)], change: i64) -> InvoiceLine {
    let lines = earlier.iter().filter_map(|(line, taxed)| BilledLine::taxed(line, &taxed.rows));
    let lines: Vec<BilledLine> = lines.collect();
    line.already_billed = Some(Money::sum(usd(0).currency, lines.iter().map(|line| line.amount)).unwrap());
    line.already_taxed = sum_by_tax(lines.iter().flat_map(|line| &line.taxes)).unwrap();
    line.amount = usd(change);
    line
}

fn tax_of(taxed: &Taxed) -> i64 {
    taxed.rows.iter().map(|row| row.amount.minor).sum()
}

#[test]
fn a_correction_is_taxed_as_its_charge_was_whatever_holds_today() {
    let charged = lines(&[(10_000, 0), (333, 1)]);
    let (then, now) = (settings(["19", "7", "0.5"], false), settings(["25", "9", "1"], false));
    let first = taxed(&then, &charged);
    let earlier = |line: usize| vec![(charged[line].clone(), taxed_again(&first))];
    let credit =
        vec![corrected(charged[0].clone(), &earlier(0), -10_000), corrected(charged[1].clone(), &earlier(1), 100)];
    let rows = taxed(&now, &credit).rows;
    let found = rows.iter().map(|row| format!("{} {} {}", row.name, row.rate_percent, row.amount.minor));
    // 4.33 at 7 % are 0.30, of which 0.23 were asked for 3.33.
    assert_eq!(found.collect::<Vec<_>>(), ["Levy 0.5 -50", "VAT 19 -1900", "VAT 7 7"]);
    // What was billed without taxes is corrected without.
    let untaxed = corrected(charged[0].clone(), &[(charged[0].clone(), Taxed::default())], -10_000);
    assert!(taxed(&now, &[untaxed]).rows.is_empty());
}

fn taxed_again(taxed: &Taxed) -> Taxed {
    Taxed { rows: taxed.rows.clone(), notes: Vec::new() }
}

proptest! {
    /// However a line is corrected, and beside whatever else, its taxes together are those of what is left of it: none when
    /// nothing is.
    #[test]
    fn a_charge_and_its_corrections_are_taxed_like_what_remains(
        charged in prop::collection::vec((1_i64..100_000, 0_usize..3), 1..5),
        to in prop::collection::vec(-50_000_i64..100_000, 0..6),
        beside in prop::collection::vec((-100_000_i64..100_000, 0_usize..3), 0..4),
        rates in prop::array::uniform3(0_u32..300_000),
        included: bool,
    ) {
        let percent = rates.map(|rate| Decimal::new(rate.into(), 4).to_string());
        let settings = settings([&percent[0], &percent[1], &percent[2]], included);
        let charged = lines(&charged);
        let (line, first) = (charged[0].clone(), taxed(&settings, &charged));
        let shares = |taxed: &Taxed, line: u32| -> i64 {
            let shares = taxed.rows.iter().flat_map(|row| &row.lines).filter(|share| share.line == line);
            shares.map(|share| share.amount.minor).sum()
        };
        let mut total = shares(&first, line.number);
        let (mut earlier, mut amount) = (vec![(line.clone(), first)], line.amount.minor);
        for to in to.into_iter().chain([0]) {
            let others: Vec<InvoiceLine> = lines(&beside).into_iter().map(|mut it| { it.number += 1; it }).collect();
            let document = [vec![corrected(line.clone(), &earlier, to - amount)], others.clone()].concat();
            let taxes = taxed(&settings, &document);
            total += shares(&taxes, 1);
            prop_assert_eq!(tax_of(&taxes), shares(&taxes, 1) + tax_of(&taxed(&settings, &others)));
            for row in &taxes.rows {
                prop_assert_eq!(row.lines.iter().map(|share| share.amount.minor).sum::<i64>(), row.amount.minor);
            }
            amount = to;
            let mut remaining = line.clone();
            remaining.amount = usd(to);
            let exact = tax_of(&taxed(&settings, &[remaining]));
            let is_untouched = earlier.len() == 1 && to == line.amount.minor;
            prop_assert!(total == exact || is_untouched, "{} and not {}", total, exact);
            let corrected = document.into_iter().next().unwrap();
            earlier.push((corrected, taxes));
        }
        prop_assert_eq!(total, 0);
    }

    #[test]
    fn a_credit_is_taxed_as_the_mirror_image_of_its_charge(
        amounts in prop::collection::vec((-100_000_i64..100_000, 0_usize..3), 0..12),
        rates in prop::array::uniform3(0_u32..300_000),
        included: bool,
    ) {
        let percent = rates.map(|rate| Decimal::new(rate.into(), 4).to_string());
        let settings = settings([&percent[0], &percent[1], &percent[2]], included);
        let charged = lines(&amounts);
        let mut credited = charged.clone();
        credited.iter_mut().for_each(|line| line.amount = line.amount.checked_neg().unwrap());
        let (charge, credit) = (taxed(&settings, &charged), taxed(&settings, &credited));
        prop_assert_eq!(charge.rows.len(), credit.rows.len());
        for (a, b) in charge.rows.iter().zip(&credit.rows) {
            prop_assert_eq!((a.amount.minor, a.base.minor), (-b.amount.minor, -b.base.minor));
            let mirrored: Vec<i64> = b.lines.iter().map(|share| -share.amount.minor).collect();
            prop_assert_eq!(a.lines.iter().map(|share| share.amount.minor).collect::<Vec<_>>(), mirrored);
            prop_assert_eq!(a.lines.iter().map(|share| share.amount.minor).sum::<i64>(), a.amount.minor);
        }
    }

    #[test]
    fn each_tax_is_within_half_a_minor_unit_of_its_exact_amount(
        amounts in prop::collection::vec((-100_000_i64..100_000, 0_usize..3), 1..12),
        included: bool,
    ) {
        let settings = settings(["19", "7", "0.5"], included);
        let rows = taxed(&settings, &lines(&amounts)).rows;
        for row in &rows {
            let exact = row.base.to_decimal() * row.rate_percent;
            let off = (exact - row.amount.to_decimal() * Decimal::ONE_HUNDRED).abs();
            // The base of an included tax is rounded too, by each tax that it holds.
            let most = if included { decimal("0.75") } else { decimal("0.5") };
            prop_assert!(off <= most, "{} on {} is {}", row.rate_percent, row.base, row.amount);
        }
    }
}
