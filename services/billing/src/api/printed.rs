//! Issued documents: what a list of them may be asked for, and one in the form that a caller prefers: as it was recorded (JSON),
//! for a spreadsheet (CSV), or as a page.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, NaiveDate};
use serde::Deserialize;
use talea_domain::error::FieldError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentFormat {
    Json,
    Csv,
    Html,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FormatParameters {
    /// `json`, `csv` or `html`; default what the `Accept` header prefers, else JSON.
    pub format: Option<DocumentFormat>,
}

impl FormatParameters {
    pub fn chosen(&self, headers: &HeaderMap) -> DocumentFormat {
        self.format.unwrap_or_else(|| accepted(headers))
    }
}

/// Refuses what Postgres could not even compare.
pub fn check_asked(
    issued_from: Option<NaiveDate>,
    issued_to: Option<NaiveDate>,
    number: Option<&str>,
) -> Result<(), FieldError> {
    for (field, date) in [("issued_from", issued_from), ("issued_to", issued_to)] {
        if date.is_some_and(|date| !(1970..=9999).contains(&date.year())) {
            return Err(FieldError::new(field, "is not a date of an issued document", "use a year from 1970 to 9999"));
        }
    }
    if number.is_some_and(|number| number.contains('\0')) {
        return Err(FieldError::new("number", "holds a NUL character", "use a number as it is printed"));
    }
    Ok(())
}

/// The first of the kinds that can be given, in the order in which the header names them.
fn accepted(headers: &HeaderMap) -> DocumentFormat {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let format = |kind| match kind {
        "application/json" | "*/*" => Some(DocumentFormat::Json),
        "text/html" => Some(DocumentFormat::Html),
        "text/csv" => Some(DocumentFormat::Csv),
        _ => None,
    };
    kinds.filter_map(format).next().unwrap_or(DocumentFormat::Json)
}

pub fn json(document: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// A file to be saved under the document's number.
pub fn csv(number: &str, rows: String) -> Response {
    let disposition = format!("attachment; filename=\"{}.csv\"", file_name(number));
    let kind = "text/csv; charset=utf-8; header=present".to_owned();
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], rows).into_response()
}

/// The page has no script and fetches nothing; the browser is told to hold it to that.
pub fn page(html: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, html).into_response()
}

fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_chooses_the_form() {
        for (accept, expect) in [
            ("", DocumentFormat::Json),
            ("*/*", DocumentFormat::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", DocumentFormat::Html),
            ("text/csv", DocumentFormat::Csv),
            ("image/png, text/csv; charset=utf-8", DocumentFormat::Csv),
            ("application/json, text/html", DocumentFormat::Json),
            ("image/png", DocumentFormat::Json),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a value"))]);
            assert_eq!(accepted(&headers), expect, "{accept}");
        }
    }
}
