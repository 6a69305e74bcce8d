//! What the voids of a block need to know: the events that they are of, in the store or in a block that is not written yet, and
//! whether those were voided before. Two look-ups for all voids of a block, none where there are no voids.

use super::memory::Memory;
use crate::context::Context;
use crate::verdict::{Claim, Decoded};
use std::collections::HashMap;
use talea_domain::event::Submission;
use talea_domain::id::TenantId;
use talea_platform::usage::voids::{Original, Place, originals, voids_of};

/// The events that the block's voids are of, and the voids of these.
pub(super) async fn known(
    context: &Context,
    memory: &Memory,
    decoded: &[Decoded],
    claims: &HashMap<u128, Claim>,
) -> anyhow::Result<(HashMap<Place, Original>, HashMap<Place, Place>)> {
    let mut wanted: Vec<(&TenantId, Place)> = Vec::new();
    for entry in decoded {
        let Ok(Submission::Void(void)) = &entry.event else { continue };
        if let Some(claim) = claims.get(&void.voided_identity().0) {
            wanted.push((&void.tenant, claim.place()));
        }
    }
    if wanted.is_empty() {
        return Ok(Default::default());
    }
    let clickhouse = &context.platform.clickhouse;
    // What is being written may be in the store by now, or not: both say the same.
    let mut known = (originals(clickhouse, &wanted).await?, voids_of(clickhouse, &wanted).await?);
    for (_, place) in &wanted {
        let unwritten = memory.held(*place);
        known.0.extend(unwritten.0.map(|original| (*place, original)));
        known.1.extend(unwritten.1.map(|void| (*place, void)));
    }
    Ok(known)
}
