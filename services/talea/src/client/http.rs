//! A small client of Talea's API: pages are followed to their end, and a problem becomes an error that names the field and
//! the way out.

use crate::import::key;
use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use talea_platform::config::Config;

/// A billing run that waits for metering answers within this.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Rows of one page: the most that the server gives.
const PAGE_ROWS: &str = "1000";

/// Which server, and with which key.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// File that holds the API key; without it the environment's TALEA_API_KEY, else the local administrator's key.
    #[arg(long)]
    key_file: Option<PathBuf>,
}

pub struct Client {
    http: reqwest::Client,
    base: String,
    authorization: header::HeaderValue,
}

/// What the server said: JSON and its status.
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

/// Query parameters; the ones without a value are left out.
pub type Query<'a> = Vec<(&'a str, Option<String>)>;

impl Client {
    pub fn new(config: &Config, connection: &Connection) -> anyhow::Result<Self> {
        let environment = std::env::var(key::VARIABLE).ok();
        let key = key::resolve(connection.key_file.as_deref(), environment, &config.engines.home)?;
        let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .context("the API key has characters that no key has; give the file that `talea keys create` wrote")?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { http, base: connection.url.trim_end_matches('/').to_owned(), authorization })
    }

    pub async fn get(&self, path: &str, query: &Query<'_>) -> anyhow::Result<Value> {
        Ok(self.send(self.request(Method::GET, path).query(&given(query))).await?.body)
    }

    /// The body as it came, in the form that `accept` names.
    pub async fn text(&self, path: &str, accept: &str) -> anyhow::Result<String> {
        let (_, text) = self.exchange(self.request(Method::GET, path).header(header::ACCEPT, accept)).await?;
        Ok(text)
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Every row of a list, page by page.
    pub async fn rows(&self, path: &str, query: &Query<'_>) -> anyhow::Result<Vec<Value>> {
        self.some_rows(path, query, usize::MAX).await
    }

    /// The first rows of a list, up to `most`.
    pub async fn some_rows(&self, path: &str, query: &Query<'_>, most: usize) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut cursor) = (Vec::new(), None);
        loop {
            let mut query = query.clone();
            query.push(("limit", Some(PAGE_ROWS.to_owned())));
            query.push(("cursor", cursor));
            let mut page = self.get(path, &query).await?;
            match page["data"].take() {
                Value::Array(data) => rows.extend(data),
                _ => bail!("{path} answered no list; is this a server of Talea's version?"),
            }
            match page["next_cursor"].as_str() {
                Some(next) if rows.len() < most => cursor = Some(next.to_owned()),
                _ => break,
            }
        }
        rows.truncate(most);
        Ok(rows)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.http.request(method, url).header(header::AUTHORIZATION, self.authorization.clone())
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let (status, text) = self.exchange(request).await?;
        let body = serde_json::from_str(&text).with_context(|| format!("the server answered {status} without JSON"))?;
        Ok(Answer { status, body })
    }

    async fn exchange(&self, request: RequestBuilder) -> anyhow::Result<(StatusCode, String)> {
        let request = request.build().context("`--url` is no address; for example http://127.0.0.1:8080")?;
        let unreachable = || format!("no answer from {}; is `talea serve` running there? See --url", self.base);
        let response = self.http.execute(request).await.with_context(unreachable)?;
        let status = response.status();
        let text = response.text().await.with_context(unreachable)?;
        if status.is_success() { Ok((status, text)) } else { bail!("{}", problem(status, &text)) }
    }
}

fn given<'a>(query: &'a Query<'_>) -> Vec<(&'a str, &'a str)> {
    query.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect()
}

/// A problem (RFC 9457) as a sentence and a line a fault.
fn problem(status: StatusCode, text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        let start: String = text.chars().take(300).collect();
        return format!("the server answered {status}: {start}");
    };
    let mut message = format!("{} ({})", problem["title"].as_str().unwrap_or("the server refused"), status.as_u16());
    if let Some(detail) = problem["detail"].as_str() {
        message.push_str(&format!(": {detail}"));
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        let part = |name: &str| error[name].as_str().unwrap_or_default();
        message.push_str(&format!("\n  {} {}; {}", part("field"), part("reason"), part("way_out")));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_to_its_way_out() {
        let body = r#"{"title":"The request is not valid","status":400,
            "errors":[{"field":"/currency","reason":"is not a currency","way_out":"write EUR"}]}"#;
        assert_eq!(
            problem(StatusCode::BAD_REQUEST, body),
            "The request is not valid (400)\n  /currency is not a currency; write EUR"
        );
        let body = r#"{"title":"The state does not allow this","detail":"it has ended"}"#;
        assert_eq!(problem(StatusCode::CONFLICT, body), "The state does not allow this (409): it has ended");
        assert_eq!(problem(StatusCode::BAD_GATEWAY, "<html>"), "the server answered 502 Bad Gateway: <html>");
    }

    #[test]
    fn what_has_no_value_is_not_asked() {
        let query: Query<'_> = vec![("tenant_id", Some("acme".to_owned())), ("status", None)];
        assert_eq!(given(&query), [("tenant_id", "acme")]);
    }
}
