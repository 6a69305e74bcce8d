//! Whether the meters of a plan can give what its prices ask for.

use super::{PlanVersion, Price};
use crate::error::FieldError;
use crate::meter::{Aggregation, MeterDefinition};

impl PlanVersion {
    /// Every price that asks a meter for what it does not measure; meters that `find` does not know are left out.
    pub fn unmeasured<'m>(&self, find: impl Fn(&Price) -> Option<&'m MeterDefinition>) -> Vec<FieldError> {
        let known = self.prices.iter().enumerate().filter_map(|(index, price)| Some((index, price, find(price)?)));
        known.flat_map(|(index, price, meter)| faults(index, price, meter)).collect()
    }
}

fn faults(index: usize, price: &Price, meter: &MeterDefinition) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let missing = price.dimensions().iter().filter(|name| !meter.dimensions.iter().any(|known| known.name == **name));
    faults.extend(missing.map(|name| {
        let reason = format!("names {name}, which is no dimension of meter {}", meter.key);
        let way_out = "define a version of the meter that has it, or leave it out";
        FieldError::new(format!("/prices/{index}/model/dimensions"), reason, way_out)
    }));
    let by_transaction = price.is_by_parts() && price.dimensions().is_empty();
    if by_transaction && meter.aggregation != Aggregation::Sum {
        let reason = format!("is {} of usage, which is no sum of transactions", meter.aggregation);
        let way_out = "price by transaction a meter that sums, or leave the bounds out";
        faults.push(FieldError::new(format!("/prices/{index}/model/meter"), reason, way_out));
    }
    if price.time_weighted.is_some()
        && !matches!(meter.aggregation, Aggregation::Count | Aggregation::Sum | Aggregation::UniqueCount)
    {
        let reason = format!("is {} of usage, which has no parts that are held each for its time", meter.aggregation);
        let way_out = "weigh by time a meter that counts, sums or counts distinct values";
        faults.push(FieldError::new(format!("/prices/{index}/model/meter"), reason, way_out));
    }
    if !price.dimensions().is_empty() && !matches!(meter.aggregation, Aggregation::Count | Aggregation::Sum) {
        let reason = format!("is {} of usage, whose parts by dimension do not add up to the whole", meter.aggregation);
        let way_out = "price by dimension a meter that counts or sums";
        faults.push(FieldError::new(format!("/prices/{index}/model/meter"), reason, way_out));
    }
    faults
}
