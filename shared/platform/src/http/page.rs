//! Cursor pages: an opaque cursor says where the next page starts, so that nothing is skipped or shown twice while rows
//! are added.

use super::Problem;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use talea_domain::error::FieldError;

/// Rows of a page when the caller does not say.
const DEFAULT_LIMIT: u32 = 100;
/// The most rows of a page.
const MAX_LIMIT: u32 = 1000;

/// A NUL inside a JSON text.
const NUL: &[u8] = br"\u0000";

/// `?limit=&cursor=`
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Rows of this page, 1 to 1000 (default 100).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Where a page begins: any small serialisable key, hex-encoded JSON outside.
pub struct Cursor;

impl Cursor {
    pub fn encode<K: Serialize>(key: &K) -> Result<String, Problem> {
        let json = serde_json::to_vec(key).map_err(Problem::internal)?;
        Ok(json.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub fn decode<K: DeserializeOwned>(text: &str) -> Result<K, Problem> {
        let wrong =
            || FieldError::new("cursor", "is not a cursor of this list", "use `next_cursor` of the page before");
        if !text.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(wrong().into());
        }
        let bytes: Option<Vec<u8>> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect();
        let json = bytes.ok_or_else(wrong)?;
        // No text of ours holds a NUL, and Postgres takes none.
        if json.windows(NUL.len()).any(|part| part == NUL) {
            return Err(wrong().into());
        }
        Ok(serde_json::from_slice(&json).map_err(|_| wrong())?)
    }
}

impl PageQuery {
    /// The page's size.
    pub fn limit(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            _ => Err(FieldError::new("limit", "is out of range", format!("use 1 to {MAX_LIMIT}")).into()),
        }
    }

    /// The key after which the page starts; none for the first page.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        self.cursor.as_deref().map(Cursor::decode).transpose()
    }
}

/// One page of rows.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Give it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of rows that were read with one row more than `limit`, which tells whether there is a next page.
    pub fn of<K: Serialize>(mut rows: Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> Result<Self, Problem> {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = match rows.last() {
            Some(last) if more => Some(Cursor::encode(&key(last))?),
            _ => None,
        };
        Ok(Self { data: rows, next_cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nonsense_is_refused() {
        let text = Cursor::encode(&("acme", 17)).expect("encodes");
        assert_eq!(Cursor::decode::<(String, u32)>(&text).expect("decodes"), ("acme".to_owned(), 17));
        let nul = Cursor::encode(&("a\0", 17)).expect("encodes");
        for nonsense in ["zz", "0", "é", "7b", &nul] {
            assert!(Cursor::decode::<(String, u32)>(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = Page::of(vec![1, 2, 3], 2, |n| *n).expect("page");
        assert_eq!((page.data.len(), page.next_cursor.is_some()), (2, true));
        assert!(Page::of(vec![1, 2], 2, |n| *n).expect("page").next_cursor.is_none());
    }
}
