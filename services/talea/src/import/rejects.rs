//! The rejects file: every row that did not become a counted event, as it was, with its line and the reason in front, so
//! that it can be mended and imported by the same mapping. It is made with the first reject.

use anyhow::Context;
use std::fs::File;
use std::path::{Path, PathBuf};

pub struct Rejects {
    path: PathBuf,
    header: csv::StringRecord,
    delimiter: u8,
    writer: Option<csv::Writer<File>>,
}

impl Rejects {
    pub fn new(path: PathBuf, header: csv::StringRecord, delimiter: u8) -> Self {
        Self { path, header, delimiter, writer: None }
    }

    /// Adds a row.
    pub fn add(&mut self, line: u64, reason: &str, record: &csv::StringRecord) -> anyhow::Result<()> {
        let write = |rejects: &mut Self| {
            let writer = rejects.writer()?;
            writer.write_record([line.to_string().as_str(), reason].into_iter().chain(record.iter()))?;
            anyhow::Ok(())
        };
        write(self)
            .with_context(|| format!("writing the rejects file {}; name another with --rejects", self.path.display()))
    }

    /// Makes what was added durable and answers the file's path when there is one.
    pub fn finish(mut self) -> anyhow::Result<Option<PathBuf>> {
        let Some(writer) = self.writer.take() else { return Ok(None) };
        let file = writer.into_inner().map_err(|error| error.into_error()).context("writing the rejects file")?;
        file.sync_all().context("writing the rejects file")?;
        Ok(Some(self.path))
    }

    fn writer(&mut self) -> anyhow::Result<&mut csv::Writer<File>> {
        if self.writer.is_none() {
            let file = File::create(&self.path)?;
            // A row with too many or too few columns is written as it is.
            let mut writer = csv::WriterBuilder::new().flexible(true).delimiter(self.delimiter).from_writer(file);
            writer.write_record(["talea_line", "talea_reason"].into_iter().chain(self.header.iter()))?;
            self.writer = Some(writer);
        }
        self.writer.as_mut().context("the writer was made above")
    }
}

/// Beside the file, so that it is found.
pub fn default_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".rejects.csv");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_with_the_first_reject_and_keeps_odd_rows() {
        let folder = std::env::temp_dir().join(format!("talea-rejects-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = default_path(&folder.join("usage.csv"));
        let header = csv::StringRecord::from(vec!["at", "n"]);
        assert_eq!(Rejects::new(path.clone(), header.clone(), b';').finish().expect("nothing to do"), None);
        assert!(!path.exists());
        let mut rejects = Rejects::new(path.clone(), header, b';');
        rejects.add(2, "odd; row", &csv::StringRecord::from(vec!["x", "1", "2"])).expect("writes");
        rejects.add(9, "bad", &csv::StringRecord::from(vec!["a \"b\""])).expect("writes");
        assert_eq!(rejects.finish().expect("writes"), Some(path.clone()));
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(text, "talea_line;talea_reason;at;n\n2;\"odd; row\";x;1;2\n9;bad;\"a \"\"b\"\"\"\n");
        std::fs::remove_dir_all(&folder).expect("cleans up");
    }
}
