//! The plan that is tried: one of the catalogue, or one that exists only in the request.

use crate::catalogue::Catalogue;
use serde::Deserialize;
use talea_domain::error::FieldError;
use talea_domain::id::PlanKey;
use talea_domain::plan::PlanVersion;
use talea_platform::http::Problem;

/// Exactly one of `plan` and `document`.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// A plan of the catalogue.
    #[serde(default)]
    pub plan: Option<PlanKey>,
    /// Default: the newest.
    #[serde(default)]
    pub version: Option<u32>,
    /// A plan as `POST /v1/plans` takes it; it is not published.
    #[serde(default)]
    pub document: Option<PlanVersion>,
}

pub(super) fn plan(catalogue: &Catalogue, other: &Alternative) -> Result<PlanVersion, Problem> {
    let faults = match (&other.plan, &other.document) {
        (Some(key), None) => match catalogue.newest_or(key, other.version) {
            Some(plan) => return Ok((**plan).clone()),
            None => vec![FieldError::new(
                "/alternative/plan",
                "is not a plan of the catalogue in that version",
                "check its key and version, or write the plan itself as document",
            )],
        },
        (None, Some(plan)) => {
            let faults = check(catalogue, plan);
            if faults.is_empty() {
                // No published version has this number.
                return Ok(PlanVersion { version: 0, ..plan.clone() });
            }
            faults
        }
        _ => vec![FieldError::new(
            "/alternative",
            "does not name one plan",
            "write exactly one of plan (with a version, if not the newest) and document",
        )],
    };
    Err(Problem::refused(faults))
}

fn check(catalogue: &Catalogue, plan: &PlanVersion) -> Vec<FieldError> {
    let mut faults = plan.validate();
    for (index, price) in plan.prices.iter().enumerate() {
        if let Some(meter) = price.meter().filter(|meter| catalogue.meter(meter, None).is_none()) {
            let field = format!("/prices/{index}/model/meter");
            faults.push(FieldError::new(
                field,
                format!("there is no meter {meter}"),
                "define it by POST /v1/meters first",
            ));
        }
    }
    faults.extend(plan.unmeasured(|price| catalogue.meter(price.meter()?, None)));
    let below = |fault: FieldError| FieldError { field: format!("/alternative/document{}", fault.field), ..fault };
    faults.into_iter().map(below).collect()
}
