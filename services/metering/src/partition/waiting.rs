//! Records that wait to become blocks, in the order of the log.

use talea_platform::log::LogRecord;

/// Bytes of records after which a block is full, however few they are: a block is held several times over while it is judged,
/// encoded and sent, and ClickHouse has 30 s for it. 20,000 ordinary events are a quarter of it.
const BLOCK_BYTES: usize = 32 << 20;
/// What a record holds in memory beside its bytes, roughly.
const RECORD_OVERHEAD: usize = 128;

#[derive(Default)]
pub(super) struct Waiting {
    records: Vec<LogRecord>,
    bytes: usize,
}

impl Waiting {
    pub fn of(records: Vec<LogRecord>) -> Self {
        let bytes = records.iter().map(weight).sum();
        Self { records, bytes }
    }

    pub fn push(&mut self, records: Vec<LogRecord>) {
        self.bytes += records.iter().map(weight).sum::<usize>();
        self.records.extend(records);
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a block of at most `most` records is full.
    pub fn is_full(&self, most: usize) -> bool {
        self.records.len() >= most || self.bytes >= BLOCK_BYTES
    }

    /// The next block: at most `most` records, at least one if there is one, and none more once its bytes are used up.
    pub fn take_block(&mut self, most: usize) -> Vec<LogRecord> {
        let (mut count, mut bytes) = (0, 0);
        for record in self.records.iter().take(most) {
            if bytes >= BLOCK_BYTES {
                break;
            }
            bytes += weight(record);
            count += 1;
        }
        self.bytes -= bytes;
        let rest = self.records.split_off(count);
        std::mem::replace(&mut self.records, rest)
    }

    /// Every record, those of a block that failed before those that waited behind it.
    pub fn behind(self, failed: impl IntoIterator<Item = LogRecord>) -> Vec<LogRecord> {
        failed.into_iter().chain(self.records).collect()
    }
}

fn weight(record: &LogRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    RECORD_OVERHEAD + record.key.len() + record.value.len() + headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chrono::DateTime;

    fn records(sizes: &[usize]) -> Vec<LogRecord> {
        let record = |(offset, size): (usize, &usize)| LogRecord {
            partition: 0,
            offset: offset as u64,
            appended_at: DateTime::UNIX_EPOCH,
            key: Bytes::new(),
            value: vec![0; *size].into(),
            headers: Vec::new(),
        };
        sizes.iter().enumerate().map(record).collect()
    }

    fn blocks(sizes: &[usize], most: usize) -> Vec<usize> {
        let mut waiting = Waiting::of(records(sizes));
        let (mut blocks, mut offsets) = (Vec::new(), Vec::new());
        while !waiting.is_empty() {
            let block = waiting.take_block(most);
            offsets.extend(block.iter().map(|record| record.offset));
            blocks.push(block.len());
        }
        assert_eq!(waiting.bytes, 0);
        assert_eq!(offsets, (0..sizes.len() as u64).collect::<Vec<_>>(), "none is missing and their order stays");
        blocks
    }

    #[test]
    fn a_block_is_bounded_in_records_and_in_bytes() {
        let large = BLOCK_BYTES / 2;
        assert_eq!(blocks(&[1; 5], 2), [2, 2, 1]);
        assert_eq!(blocks(&[large, large, large, 1], 100), [2, 2]);
        assert_eq!(blocks(&[2 * BLOCK_BYTES, 1], 100), [1, 1]);
    }

    #[test]
    fn few_large_records_fill_a_block() {
        let mut waiting = Waiting::default();
        waiting.push(records(&[BLOCK_BYTES / 2]));
        assert!(!waiting.is_full(100));
        waiting.push(records(&[BLOCK_BYTES / 2]));
        assert!(waiting.is_full(100));
        assert_eq!(waiting.take_block(100).len(), 2);
        assert!(!waiting.is_full(100));
    }
}
