//! Prices in words, for the page of worked examples.

use crate::charge::NewCharge;
use crate::money::{format_amount, group_thousands};
use crate::plan::{Amounts, Price, PriceModel, Timing};
use crate::rating::{Commitment, Rounding, Tier, TimeWeighting};
use crate::simulation::AddChargesInput;
use crate::subscription::InvoiceTiming;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// What a price charges, with its terms.
pub fn price(price: &Price) -> String {
    let transform = price.transform.as_ref().map(|transform| {
        let divisor = transform.divide_by.map(|divisor| format!(", measured units / {}", number(divisor)));
        let rounding = transform.round.map(|round| match round {
            Rounding::Up => ", rounded up",
            Rounding::Down => ", rounded down",
            Rounding::Half => ", rounded to the nearest",
        });
        format!("{}{}", divisor.unwrap_or_default(), rounding.unwrap_or_default())
    });
    let commitment = price.commitment.as_ref().map(commitment);
    let held = match price.time_weighted {
        None => "",
        Some(TimeWeighting { carry_over: false }) => ", by the share of the period in which they were held",
        Some(TimeWeighting { carry_over: true }) => {
            ", by the share of the period in which they were held, also those from before"
        }
    };
    let (transform, commitment) = (transform.unwrap_or_default(), commitment.unwrap_or_default());
    let taxed = price.tax_category.as_ref().map(|category| format!("; taxed as `{category}`")).unwrap_or_default();
    format!("{}{held}{transform}{commitment}{taxed}", model(&price.model))
}

/// `; at least 20.00 USD; at most 50.00 USD`.
pub(super) fn commitment(commitment: &Commitment) -> String {
    let bound = |name, bound: &Option<Amounts>| {
        bound.as_ref().map(|bound| format!("; {name} {}", amounts(bound))).unwrap_or_default()
    };
    format!("{}{}", bound("at least", &commitment.minimum), bound("at most", &commitment.maximum))
}

pub(super) fn model(model: &PriceModel) -> String {
    match model {
        PriceModel::Flat(flat) => {
            let amount = amounts(&flat.amount);
            match flat.timing {
                Timing::InAdvance => format!("{amount} a period, in advance"),
                Timing::InArrears => format!("{amount} a period, in arrears"),
                Timing::Once => format!("{amount} once, when charging begins"),
            }
        }
        PriceModel::PerUnit(price) => {
            format!("{}{} per unit of `{}`", included(price.included), amounts(&price.unit_amount), price.meter)
        }
        PriceModel::Graduated(price) => {
            format!("{}per unit of `{}`: {}", included(price.included), price.meter, tiers(&price.tiers))
        }
        PriceModel::Volume(price) => {
            let included = included(price.included);
            let (meter, tiers) = (&price.meter, tiers(&price.tiers));
            format!("{included}all units of `{meter}` at the price of the tier they end in: {tiers}")
        }
        PriceModel::PerDuration(price) => {
            let (included, amount) = (included(price.included), amounts(&price.unit_amount));
            let (per, meter, unit) = (price.per.as_str(), &price.meter, price.measured_in.as_str());
            format!("{included}{amount} per {per} of `{meter}`, which is measured in {unit}s")
        }
        PriceModel::Package(price) => {
            let free = match price.free_packages {
                0 => String::new(),
                free => format!("{free} free, then "),
            };
            let size = number(price.package_size);
            format!("{free}{} per begun package of {size} `{}`", amounts(&price.package_amount), price.meter)
        }
        PriceModel::Percentage(price) => {
            let fee = price.transaction_amount.as_ref().map(|fee| format!(" and {} per transaction", amounts(fee)));
            let free = price.free_amount.as_ref().map(|free| format!("; {} free", amounts(free)));
            let count = match price.free_transactions {
                0 => String::new(),
                1 => "; 1 transaction free".to_owned(),
                count => format!("; {count} transactions free"),
            };
            let rate = percent(&price.rate_percent);
            let (fee, free) = (fee.unwrap_or_default(), free.unwrap_or_default());
            let least = price.transaction_minimum.as_ref().map(|least| format!("; each at least {}", amounts(least)));
            let most = price.transaction_maximum.as_ref().map(|most| format!("; each at most {}", amounts(most)));
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
            format!("{rate} of `{}`{fee}{free}{count}{least}{most}", price.meter)
        }
        PriceModel::GraduatedPercentage(price) => {
            let tiers = price.tiers.iter().map(|tier| {
                let bound =
                    tier.up_to.as_ref().map_or("beyond".to_owned(), |up_to| format!("up to {}", amounts(up_to)));
                format!("{bound} {}{}", percent(&tier.rate_percent), once(tier.flat_amount.as_ref()))
            });
            format!("of `{}`: {}", price.meter, tiers.collect::<Vec<_>>().join("; "))
        }
        PriceModel::Dynamic(price) => {
            format!("the amounts of `{}` and {} on top", price.meter, percent(&price.markup_percent))
        }
        PriceModel::Matrix(price) => {
            let cells =
                price.cells.iter().map(|cell| format!("{} {}", values(&cell.values), amounts(&cell.unit_amount)));
            let cells = cells.collect::<Vec<_>>().join("; ");
            format!("per unit of `{}`: {cells}; all other {}", price.meter, amounts(&price.unit_amount))
        }
    }
}

/// `model "large", region "eu"`.
pub fn values(values: &BTreeMap<String, String>) -> String {
    values.iter().map(|(name, value)| format!("{name} {value:?}")).collect::<Vec<_>>().join(", ")
}

fn tiers(tiers: &[Tier]) -> String {
    let tier = |tier: &Tier| {
        let bound = tier.up_to.map_or("beyond".to_owned(), |up_to| format!("up to {}", number(up_to)));
        format!("{bound} {}{}", amounts(&tier.unit_amount), once(tier.flat_amount.as_ref()))
    };
    tiers.iter().map(tier).collect::<Vec<_>>().join("; ")
}

fn once(flat: Option<&Amounts>) -> String {
    flat.map(|flat| format!(" and {} once", amounts(flat))).unwrap_or_default()
}

fn included(included: Decimal) -> String {
    if included.is_zero() { String::new() } else { format!("{} included, then ", number(included)) }
}

fn percent(rates: &Amounts) -> String {
    rates.iter().map(|(currency, rate)| format!("{} % ({currency})", number(rate))).collect::<Vec<_>>().join(" or ")
}

pub fn amounts(amounts: &Amounts) -> String {
    amounts.iter().map(|(currency, amount)| format_amount(amount, currency)).collect::<Vec<_>>().join(" or ")
}

fn number(number: Decimal) -> String {
    group_thousands(number, 0)
}

/// `acme is charged once: 35.00 for "Handbook"`.
pub fn charges(add: &AddChargesInput) -> String {
    let one = |charge: &NewCharge| {
        let of_units = charge
            .unit_amount
            .map(|unit| format!("{} x {}", number(charge.quantity.unwrap_or(Decimal::ONE)), number(unit)));
        format!("{} for {:?}", of_units.or(charge.amount.map(number)).unwrap_or_default(), charge.description)
    };
    let each = add.charges.iter().map(one).collect::<Vec<_>>().join(", ");
    let of = add.subscription.as_ref().map(|id| format!(", with `{id}`")).unwrap_or_default();
    let now = if add.invoice == InvoiceTiming::Now { ", invoiced at once" } else { "" };
    format!("{} is charged once: {each}{of}{now}", add.tenant)
}
