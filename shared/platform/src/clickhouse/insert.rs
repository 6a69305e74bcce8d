//! Inserts that are sent whole. The body goes out in one piece with Content-Length, so that a killed insert ends at once: one that
//! streams its body in chunks holds the server until its receive timeout.

use super::error::chain;
use super::{ClickHouse, ClickHouseError, InsertError};
use bytes::Bytes;
use std::time::Duration;

/// How long the server may work on one insert, in seconds.
const INSERT_SECONDS: u64 = 30;
/// Months in one block: events from 1970 to 2262 fit. The server's default of 100 would refuse a wide backfill for ever.
const MAX_MONTHS_PER_BLOCK: u32 = 3600;
/// `FUNCTION_THROW_IF_VALUE_IS_NON_ZERO`: what the fence raises.
const CODE_THROW_IF: u32 = 395;
/// Server errors after which the same rows can be tried again: timeout, too many queries, memory, too many parts, killed, aborted,
/// socket trouble, out of disk.
const CODES_TO_RETRY: [u32; 11] = [159, 202, 203, 209, 210, 236, 241, 243, 252, 394, 439];

pub(super) fn http_client() -> Result<reqwest::Client, ClickHouseError> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(INSERT_SECONDS + 5))
        // Shorter than any server's keep-alive, so that no insert starts on a connection that is being closed.
        .pool_idle_timeout(Duration::from_secs(2))
        .no_proxy()
        .build()
        .map_err(|error| {
            ClickHouseError::Setup(format!("the HTTP client for ClickHouse cannot be built: {}", chain(&error)))
        })
}

impl ClickHouse {
    /// Sends one INSERT with all of its rows (`body`, in the format that `sql` names) and waits until they are stored and synced.
    ///
    /// `query_id` names it for [`ClickHouse::kill`]; it must be unique among running queries: end it in epoch and attempt.
    ///
    /// # Errors
    /// See [`InsertError`]: only `Ok` means stored, only a look at the table means not stored.
    pub async fn insert_whole(&self, sql: &str, body: Bytes, query_id: &str) -> Result<(), InsertError> {
        let response = self
            .http
            .post(&self.url)
            .query(&[("query", sql), ("database", &self.database), ("query_id", &self.query_id(query_id))])
            .query(&[
                ("async_insert", "0"),
                ("use_query_cache", "0"),
                ("use_query_condition_cache", "0"),
                ("wait_end_of_query", "1"),
                ("max_execution_time", &INSERT_SECONDS.to_string()),
                ("http_receive_timeout", "5"),
                ("max_insert_threads", "1"),
                ("max_partitions_per_insert_block", &MAX_MONTHS_PER_BLOCK.to_string()),
            ])
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", &self.password)
            .body(body)
            .send()
            .await
            .map_err(|error| InsertError::Unknown(chain(&error.without_url())))?;
        let status = response.status();
        let code = response
            .headers()
            .get("X-ClickHouse-Exception-Code")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u32>().ok());
        let text = response.text().await.map_err(|error| InsertError::Unknown(chain(&error.without_url())))?;
        if status.is_success() && code.is_none() {
            return Ok(());
        }
        Err(classify(code, &text))
    }
}

/// Sorts a server's error by its code; without a code (a proxy's answer) the outcome is unknown.
fn classify(code: Option<u32>, text: &str) -> InsertError {
    match code {
        Some(CODE_THROW_IF) if text.contains("fenced") => InsertError::Fenced,
        None => InsertError::Unknown(shorten(text)),
        Some(code) if CODES_TO_RETRY.contains(&code) => InsertError::Unknown(shorten(text)),
        Some(_) => InsertError::Rejected(shorten(text)),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_sorted_by_its_code_not_by_words_of_the_statement() {
        assert!(matches!(classify(Some(395), "Code: 395. DB::Exception: fenced"), InsertError::Fenced));
        assert!(matches!(classify(Some(62), "Syntax error near 'fenced'"), InsertError::Rejected(_)));
        assert!(matches!(classify(Some(394), "Query was cancelled"), InsertError::Unknown(_)));
        assert!(matches!(classify(None, "502 Bad Gateway"), InsertError::Unknown(_)));
    }
}
