//! The commands that change a subscription: each as it is asked for, decided as for real.

use super::document::TimelineEntry;
use super::prepare::Prepared;
use crate::error::FieldError;
use crate::subscription::{ChangeRequest, ChangeTerms, End};

impl TimelineEntry {
    /// The change that an entry asks for, with the member that holds it.
    pub(super) fn change(&self) -> Option<(&'static str, ChangeRequest)> {
        use ChangeRequest as Request;
        let asked = [
            ("change_plan", self.change_plan.clone().map(Request::ChangePlan)),
            ("change_quantity", self.change_quantity.clone().map(Request::ChangeQuantity)),
            ("add_add_on", self.add_add_on.clone().map(Request::AddAddOn)),
            ("remove_add_on", self.remove_add_on.clone().map(Request::RemoveAddOn)),
            ("pause", self.pause.clone().map(Request::Pause)),
            ("resume", self.resume.clone().map(Request::Resume)),
            ("override_price", self.override_price.clone().map(Request::OverridePrice)),
            ("reactivate", self.reactivate.clone().map(Request::Reactivate)),
            ("cancel", self.end_at_date().map(Request::Cancel)),
        ];
        asked.into_iter().find_map(|(name, request)| request.map(|request| (name, request)))
    }

    /// A cancellation at a date, or at once on an invoice of its own.
    fn end_at_date(&self) -> Option<End> {
        let cancel = self.cancel.as_ref()?;
        let effective_at = cancel.effective_at?;
        Some(End { effective_at, invoice: cancel.invoice })
    }
}

/// The change with the version of its plan: the one asked for, else the highest in the document.
pub(super) fn resolved(
    prepared: &Prepared,
    place: usize,
    name: &str,
    request: ChangeRequest,
) -> Result<ChangeTerms, FieldError> {
    let Some((key, version)) = request.plan() else {
        return Ok(request.terms(0));
    };
    let plan = prepared.plan(key, version).ok_or_else(|| {
        let reason = format!("{key} is not a plan of the document in that version");
        FieldError::new(
            format!("/timeline/{place}/{name}/plan"),
            reason,
            "add it to plans, or check its key and version",
        )
    })?;
    let version = plan.version;
    Ok(request.terms(version))
}
