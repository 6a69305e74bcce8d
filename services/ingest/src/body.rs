//! What a request's body claims to be, and its bytes without compression, never more of them than the limit.

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;
use talea_domain::error::FieldError;
use talea_platform::http::Problem;

/// Capacity that decompression starts with: most requests are small, and a header's own claim of its size is not believed.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;

/// What the content type promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `application/cloudevents+json`: one event, an object.
    One,
    /// `application/cloudevents-batch+json`: an array of events.
    Batch,
    /// `application/json`: either.
    Either,
}

/// How the body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

/// The shape by `Content-Type`; its parameters do not matter, JSON is always UTF-8 (RFC 8259).
pub fn shape(headers: &HeaderMap) -> Result<Shape, Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/cloudevents+json" => Ok(Shape::One),
        "application/cloudevents-batch+json" => Ok(Shape::Batch),
        "application/json" => Ok(Shape::Either),
        _ => Err(Problem::unsupported_media(
            "send `Content-Type: application/cloudevents+json` with one event, `application/cloudevents-batch+json` with an \
             array of events, or `application/json` with either",
        )),
    }
}

/// The compression by `Content-Encoding`.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(Problem::unsupported_media("send `Content-Encoding: gzip`, or no compression")),
    }
}

/// Why the body did not arrive whole.
pub fn unread(rejection: &BytesRejection, limit: usize) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(limit),
        _ => FieldError::new("", "the body did not arrive whole", "send the request again").into(),
    }
}

/// The body's own bytes: as they came, or decompressed. A body that would grow past `limit` is given up at the limit.
pub fn plain(body: Bytes, encoding: Encoding, limit: usize) -> Result<Bytes, Problem> {
    match encoding {
        Encoding::Identity if body.len() > limit => Err(too_large(limit)),
        Encoding::Identity => Ok(body),
        Encoding::Gzip => inflate(&body, limit),
    }
}

fn inflate(body: &[u8], limit: usize) -> Result<Bytes, Problem> {
    let mut plain = Vec::with_capacity(FIRST_BUFFER_BYTES.min(limit));
    let read = MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut plain);
    if plain.len() > limit {
        return Err(too_large(limit));
    }
    read.map_err(|_| FieldError::new("", "the body is not whole gzip data", "compress it again, or send it as it is"))?;
    Ok(plain.into())
}

fn too_large(limit: usize) -> Problem {
    Problem::too_large(format!("a request may have {limit} bytes after decompression: send smaller batches"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).expect("compresses");
        encoder.finish().expect("compresses").into()
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("header"))])
    }

    #[test]
    fn content_types_say_the_shape() {
        for (text, shape_or_none) in [
            ("application/cloudevents+json", Some(Shape::One)),
            ("application/CloudEvents-batch+json; charset=utf-8", Some(Shape::Batch)),
            ("application/json", Some(Shape::Either)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(shape(&with(header::CONTENT_TYPE, text)).ok(), shape_or_none, "{text}");
        }
        assert_eq!(shape(&HeaderMap::new()).expect_err("needed").status, 415);
    }

    #[test]
    fn only_gzip_is_understood() {
        assert_eq!(encoding(&HeaderMap::new()).ok(), Some(Encoding::Identity));
        assert_eq!(encoding(&with(header::CONTENT_ENCODING, "GZIP")).ok(), Some(Encoding::Gzip));
        assert_eq!(encoding(&with(header::CONTENT_ENCODING, "br")).expect_err("refused").status, 415);
    }

    #[test]
    fn the_limit_holds_after_decompression() {
        let bomb = gzip(&vec![b' '; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(plain(bomb, Encoding::Gzip, 1_000_000).expect_err("refused").status, 413);
        let exact = gzip(&[b'x'; 1000]);
        assert_eq!(plain(exact.clone(), Encoding::Gzip, 1000).expect("fits").len(), 1000);
        assert_eq!(plain(exact, Encoding::Gzip, 999).expect_err("refused").status, 413);
    }

    #[test]
    fn every_member_of_a_gzip_body_is_read() {
        let two = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(plain(two.into(), Encoding::Gzip, 100).expect("reads"), "[1,2]");
    }

    #[test]
    fn a_cut_gzip_body_is_refused() {
        let whole = gzip(b"{\"a\":1}");
        let cut = whole.slice(..whole.len() - 4);
        assert_eq!(plain(cut, Encoding::Gzip, 100).expect_err("refused").status, 400);
    }
}
