//! How the records of one batch become the payload of one row.
//!
//! Version 1: one version byte, then LZ4 (with the uncompressed size in front) of the records one after another. A record
//! is its key, its value and its headers; each text or byte string has its length in front, as an unsigned LEB128. The
//! form is read for as long as a log keeps it: another form takes another version byte.

use bytes::{Buf, BufMut, Bytes};
use chrono::{DateTime, Utc};

use crate::log::{LogRecord, NewRecord};

const VERSION: u8 = 1;
/// No payload is larger than this uncompressed; a size beyond it is damage, and must not be allocated.
const MAX_UNCOMPRESSED_BYTES: u32 = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("batch version {0} is not known to this program: run the version that wrote it, or a newer one")]
    Version(u8),
    #[error("the batch is damaged: {0}")]
    Damaged(String),
}

/// Appends one record to the uncompressed body of a batch.
pub(super) fn encode_record(body: &mut Vec<u8>, record: &NewRecord) {
    put_bytes(body, &record.key);
    put_bytes(body, &record.value);
    put_length(body, record.headers.len());
    for (name, value) in &record.headers {
        put_bytes(body, name.as_bytes());
        put_bytes(body, value);
    }
}

/// The stored payload of a body.
pub(super) fn compress(body: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::compress_prepend_size(body);
    let mut payload = Vec::with_capacity(compressed.len() + 1);
    payload.push(VERSION);
    payload.extend_from_slice(&compressed);
    payload
}

/// Where a stored batch stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchPlace {
    pub partition: u32,
    pub base_offset: u64,
    pub count: usize,
    pub appended_at: DateTime<Utc>,
}

/// The records of a stored payload whose offset is at least `from`.
pub(super) fn decode(payload: &[u8], place: BatchPlace, from: u64) -> Result<Vec<LogRecord>, DecodeError> {
    let mut body = decompress(payload)?;
    let mut records = Vec::with_capacity(place.count);
    for offset in (place.base_offset..).take(place.count) {
        let (key, value) = (take_bytes(&mut body)?, take_bytes(&mut body)?);
        let headers = take_headers(&mut body)?;
        if offset >= from {
            let (partition, appended_at) = (place.partition, place.appended_at);
            records.push(LogRecord { partition, offset, appended_at, key, value, headers });
        }
    }
    if body.has_remaining() {
        return Err(damaged("bytes are left after the last record"));
    }
    Ok(records)
}

fn decompress(payload: &[u8]) -> Result<Bytes, DecodeError> {
    let (&version, compressed) = payload.split_first().ok_or_else(|| damaged("it is empty"))?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let size = compressed.first_chunk::<4>().map(|size| u32::from_le_bytes(*size));
    if size.is_none_or(|size| size > MAX_UNCOMPRESSED_BYTES) {
        return Err(damaged("its size is missing or impossible"));
    }
    let body = lz4_flex::decompress_size_prepended(compressed).map_err(|e| DecodeError::Damaged(e.to_string()))?;
    Ok(Bytes::from(body))
}

fn take_headers(body: &mut Bytes) -> Result<Vec<(String, Bytes)>, DecodeError> {
    let count = take_length(body)?;
    let mut headers = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let name = String::from_utf8(take_bytes(body)?.to_vec());
        headers.push((name.map_err(|_| damaged("a header name is not UTF-8"))?, take_bytes(body)?));
    }
    Ok(headers)
}

fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    put_length(body, bytes.len());
    body.extend_from_slice(bytes);
}

fn put_length(body: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        body.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    body.put_u8(length as u8);
}

fn take_bytes(body: &mut Bytes) -> Result<Bytes, DecodeError> {
    let length = take_length(body)?;
    if length > body.len() {
        return Err(damaged("a length points past its end"));
    }
    Ok(body.split_to(length))
}

fn take_length(body: &mut Bytes) -> Result<usize, DecodeError> {
    let mut length = 0;
    for shift in [0, 7, 14, 21, 28] {
        if !body.has_remaining() {
            return Err(damaged("it ends within a length"));
        }
        let byte = body.get_u8();
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(length);
        }
    }
    Err(damaged("a length is longer than five bytes"))
}

fn damaged(problem: &str) -> DecodeError {
    DecodeError::Damaged(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: &[NewRecord]) -> (Vec<u8>, BatchPlace) {
        let mut body = Vec::new();
        records.iter().for_each(|record| encode_record(&mut body, record));
        let place =
            BatchPlace { partition: 3, base_offset: 40, count: records.len(), appended_at: DateTime::UNIX_EPOCH };
        (compress(&body), place)
    }

    fn record(value: &[u8]) -> NewRecord {
        let headers = vec![("ce_id".to_owned(), Bytes::from_static(b"\x00\xff")), (String::new(), Bytes::new())];
        NewRecord { key: Bytes::from_static(b"key"), value: Bytes::copy_from_slice(value), headers }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let records = [record(b""), record(&[7; 300]), record(&vec![9; 200_000])];
        let (payload, place) = batch(&records);
        let decoded = decode(&payload, place, 41).unwrap();
        assert_eq!(decoded.iter().map(|r| r.offset).collect::<Vec<_>>(), [41, 42]);
        for (decoded, record) in decoded.iter().zip(&records[1..]) {
            assert_eq!(decoded.partition, 3);
            assert_eq!((&decoded.key, &decoded.value, &decoded.headers), (&record.key, &record.value, &record.headers));
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let (payload, place) = batch(&[record(b"abc"), record(b"def")]);
        for length in 0..payload.len() {
            assert!(decode(&payload[..length], place, 0).is_err(), "cut at {length}");
        }
        assert!(matches!(decode(&[9, 0, 0, 0, 0], place, 0), Err(DecodeError::Version(9))));
        assert!(decode(&payload, BatchPlace { count: 1, ..place }, 0).is_err(), "a count too small");
        assert!(decode(&[1, 255, 255, 255, 255, 0], place, 0).is_err(), "a size too large");
    }
}
