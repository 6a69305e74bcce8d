//! The examples and their stored results.

use super::*;

#[test]
fn every_example_gives_its_stored_result() {
    let documents = documents();
    assert!(documents.len() >= 20, "the examples were not found");
    for (name, text) in documents {
        let result = simulate_text(&text).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        let pretty = serde_json::to_string_pretty(&result).unwrap() + "\n";
        check_stored(&top().join(format!("schemas/golden/simulation/{name}.json")), &pretty);
    }
}

#[test]
fn every_stored_result_belongs_to_an_example() {
    let names: Vec<String> = documents().into_iter().map(|(name, _)| name).collect();
    for entry in std::fs::read_dir(top().join("schemas/golden/simulation")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(names.iter().any(|known| known == name), "{} has no example", path.display());
    }
}

#[test]
fn every_price_model_and_every_command_has_an_example() {
    let all: String = documents().into_iter().map(|(_, text)| text).collect();
    for part in
        ["\"flat\"", "\"per_unit\"", "\"graduated\"", "\"in_advance\"", "\"in_arrears\"", "\"now\"", "\"period_end\""]
    {
        assert!(all.contains(part), "no example has {part}");
    }
    for command in commands::COMMANDS.iter().filter(|command| command.about == commands::About::Subscription) {
        let is_about_coupons = command.name.ends_with("coupon");
        let is_shown = all.contains(&format!("\"{}\"", command.name));
        assert!(is_shown || is_about_coupons, "no example has {}", command.name);
    }
}

/// The totals that the accountant's rules in ARCHITECTURE.md name.
#[test]
fn the_examples_say_what_the_rules_say() {
    let check = |name: &str, expect: &[&str]| {
        let (_, text) = documents().into_iter().find(|(found, _)| found == name).unwrap();
        let result = simulate_text(&text).unwrap();
        let view = result.views.last().unwrap();
        let lines = view.invoices.iter().flat_map(|invoice| &invoice.lines);
        let amounts: Vec<String> = lines.map(|line| line.amount.to_decimal().to_string()).collect();
        assert_eq!(amounts, expect, "{name}");
    };
    check("103-per-unit", &["54.18", "3.69"]);
    check("105-graduated", &["4.75"]);
    check("201-start-inside-a-period", &["31.61", "49.00"]);
    check("204-cancel-now", &["49.00", "6.61", "3.75", "-16.60"]);
    check("209-late-usage", &["3.00", "6.00", "0.15", "0.01"]);
}
