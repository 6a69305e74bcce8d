//! What prices ask of usage beside the whole is, for each span, what a naive recount of its events gives.

use super::billing::{random_cut, random_spans, readings, stored};
use super::support::meter;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use talea_domain::meter::{Aggregation, Dimension, Partial, Reading};
use talea_domain::period::Period;
use talea_domain::rating::{Held, SplitTerms, TransactionSplit, seconds_held};
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::UsageError;
use talea_platform::usage::groups::{BilledGroups, billed_groups};
use talea_platform::usage::held::billed_held;
use talea_platform::usage::splits::billed_splits;

/// Usage by one and by two dimensions, inside each span's own cut; the parts add up to the whole.
pub async fn usage_by_dimension_is_what_its_events_say(clickhouse: &ClickHouse) {
    let (mut dice, rows, next) = stored(clickhouse, 41).await;
    for (index, aggregation) in [Aggregation::Sum, Aggregation::Count].into_iter().enumerate() {
        let mut meter = meter(&mut dice, &format!("m{index}"), aggregation);
        meter.dimensions = ["/model", "/region"]
            .map(|field| Dimension { name: field[1..].to_owned(), field: field.to_owned() })
            .to_vec();
        let spans = random_spans(&mut dice, &next);
        let up_to = random_cut(&mut dice, &next);
        let names: Vec<&str> = meter.dimensions.iter().map(|dimension| dimension.name.as_str()).collect();
        for asked in [&names[..1], &names[..]] {
            let answers = billed_groups(clickhouse, &meter, asked, &spans, &up_to).await.expect("measured");
            for (span, answer) in spans.iter().zip(answers) {
                let cut = span.cut.as_ref().unwrap_or(&up_to);
                let mut expect: BTreeMap<Vec<String>, Partial> = BTreeMap::new();
                for (row, reading) in readings(&rows, &meter, &span.tenant, span.period) {
                    let Reading::Value { dimensions, .. } = &reading else { continue };
                    if cut.contains(row.partition, row.offset) {
                        let group = expect.entry(dimensions[..asked.len()].to_vec()).or_default();
                        group.add(&reading, row.event.time, row.event.identity);
                    }
                }
                let BilledGroups::Groups(groups) = answer else { panic!("few groups") };
                let found: Vec<_> = groups.iter().map(|group| (&group.values, Some(group.quantity))).collect();
                let expect: Vec<_> = expect
                    .into_iter()
                    .map(|(values, partial)| {
                        let named = asked.iter().map(|name| (*name).to_owned()).zip(values).collect();
                        (named, partial.value(aggregation).expect("fits"))
                    })
                    .collect::<Vec<(BTreeMap<String, String>, _)>>();
                let expect: Vec<_> = expect.iter().map(|(values, quantity)| (values, *quantity)).collect();
                assert_eq!(found, expect, "{aggregation} by {asked:?} {span:?}");
            }
        }
        let unknown = billed_groups(clickhouse, &meter, &["colour"], &spans, &up_to).await;
        assert!(matches!(unknown, Err(UsageError::Field(fault)) if fault.reason.contains("colour")));
    }
}

/// Transactions below, between and above bounds, to the last decimal of a bound that one of them meets exactly.
pub async fn transactions_are_told_apart_as_one_by_one(clickhouse: &ClickHouse) {
    let (mut dice, rows, next) = stored(clickhouse, 42).await;
    let meter = meter(&mut dice, "payments", Aggregation::Sum);
    let decimal = |text: &str| Decimal::from_str_exact(text).expect("a decimal");
    let amounts = rows.iter().filter_map(|row| row.event.number("/tokens")).collect::<Vec<_>>();
    let rate = decimal("2.9");
    // What one of the transactions costs exactly is neither below nor above.
    let met = amounts.iter().copied().filter(|amount| amount.scale() < 10 && amount.is_sign_positive());
    let met: Vec<Decimal> = met.map(|amount| (amount * rate).normalize()).take(20).collect();
    for round in 0..6 {
        let bound = |dice: &mut super::support::Dice| (!dice.one_in(4)).then(|| dice.pick(&met));
        let (a, b) = (bound(&mut dice), bound(&mut dice));
        let (low, high) = if a.zip(b).is_some_and(|(a, b)| a > b) { (b, a) } else { (a, b) };
        let rate_percent = if round == 5 { decimal("0.123456789012345678") } else { rate };
        let terms = SplitTerms { rate_percent, low, high };
        let spans = random_spans(&mut dice, &next);
        let up_to = random_cut(&mut dice, &next);
        let answers = billed_splits(clickhouse, &meter, terms, &spans, &up_to).await.expect("measured");
        for (span, answer) in spans.iter().zip(answers) {
            let cut = span.cut.as_ref().unwrap_or(&up_to);
            let mut expect = TransactionSplit::new(terms);
            for (row, reading) in readings(&rows, &meter, &span.tenant, span.period) {
                let Reading::Value { value: Some(amount), .. } = reading else { continue };
                if cut.contains(row.partition, row.offset) {
                    expect.add(amount).expect("fits");
                }
            }
            assert_eq!(answer, expect, "{span:?}");
        }
    }
}

/// What is held, by sums, counts and distinct values, with and without what came before each span.
pub async fn what_is_held_is_counted_second_by_second(clickhouse: &ClickHouse) {
    let (mut dice, rows, next) = stored(clickhouse, 43).await;
    for (index, aggregation) in [Aggregation::Sum, Aggregation::Count, Aggregation::UniqueCount].into_iter().enumerate()
    {
        let mut meter = meter(&mut dice, &format!("m{index}"), aggregation);
        // Numbers of few digits: with 18 decimals, units times seconds are more than a decimal holds.
        meter.field = meter.field.map(|_| "/region".to_owned());
        let spans = random_spans(&mut dice, &next);
        let up_to = random_cut(&mut dice, &next);
        for carry_over in [false, true] {
            let answers = billed_held(clickhouse, &meter, carry_over, &spans, &up_to).await.expect("measured");
            for (span, answer) in spans.iter().zip(answers) {
                let cut = span.cut.as_ref().unwrap_or(&up_to);
                let from = if carry_over { DateTime::<Utc>::UNIX_EPOCH } else { span.period.start };
                let reach = Period::new(from, span.period.end);
                let mut inside: Vec<_> = readings(&rows, &meter, &span.tenant, reach)
                    .filter(|(row, _)| cut.contains(row.partition, row.offset))
                    .collect();
                inside.sort_by_key(|(row, _)| row.event.time);
                let (mut expect, mut seen) = (Held::new(carry_over), BTreeSet::new());
                for (row, reading) in inside {
                    let Reading::Value { value, text, .. } = reading else { continue };
                    if text.is_none_or(|text| seen.insert(text)) {
                        let seconds = seconds_held(span.period, row.event.time);
                        expect.add(value.unwrap_or(Decimal::ONE), seconds).expect("fits");
                    }
                }
                assert_eq!(answer, expect, "{aggregation} {carry_over} {span:?}");
            }
        }
    }
}
