//! A decision that a request leads to.

use super::Problem;
use crate::journal::{AppendError, Decision, append};
use crate::postgres::Tx;

/// Records it in the request's transaction, which is then to be committed.
///
/// # Errors
/// 409 when somebody decided about the same thing in between.
pub async fn record(tx: &mut Tx, decision: Decision) -> Result<(), Problem> {
    match append(tx, vec![decision]).await {
        Ok(_) => Ok(()),
        Err(conflict @ AppendError::Conflict { .. }) => Err(Problem::conflict(conflict.to_string())),
        Err(error) => Err(Problem::internal(error)),
    }
}
