//! Brings the database to the shape that this version expects. Each file runs once, in order, and is recorded with its digest; its
//! statements can run again, so a crash in the middle is mended by the next start.

use super::{ClickHouse, ClickHouseError, sql};
use ::clickhouse::Client;
use sha2::{Digest, Sha256};

/// The migrations compiled into this program: number, name, text.
pub const MIGRATIONS: [(u32, &str, &str); 2] = [
    (1, "usage", include_str!("../../../../migrations/clickhouse/0001_usage.sql")),
    (2, "voids", include_str!("../../../../migrations/clickhouse/0002_voids.sql")),
];

const RECORD_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32, name String, digest String) \
     ENGINE = ReplacingMergeTree ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

impl ClickHouse {
    /// Creates the database when it is not there and runs what has not run yet. Returns how many files ran.
    ///
    /// # Errors
    /// When a file that has run was changed afterwards, or the database was made by a newer version; else see [`ClickHouseError`].
    pub async fn migrate(&self) -> Result<usize, ClickHouseError> {
        self.create_database().await?;
        self.execute(self.query(RECORD_TABLE)).await?;
        let done: Vec<(u32, String)> =
            self.rows(self.query("SELECT version, digest FROM schema_migrations FINAL ORDER BY version")).await?;
        if let Some((version, _)) =
            done.iter().find(|(version, _)| MIGRATIONS.iter().all(|(known, ..)| known != version))
        {
            return Err(ClickHouseError::Setup(format!(
                "the ClickHouse database {} has migration {version}, which this version does not know; run the newer version",
                self.database()
            )));
        }
        let mut ran = 0;
        for (version, name, text) in MIGRATIONS {
            let digest = format!("{:x}", HexDigest(Sha256::digest(text.as_bytes()).as_slice()));
            match done.iter().find(|(done_version, _)| *done_version == version) {
                Some((_, recorded)) if *recorded == digest => continue,
                Some(_) => {
                    return Err(ClickHouseError::Setup(format!(
                        "migrations/clickhouse/{version:04}_{name}.sql was changed after it ran; put the change into a new file"
                    )));
                }
                None => {}
            }
            for statement in statements(text) {
                self.execute(self.query(&statement)).await?;
            }
            let record =
                format!("INSERT INTO schema_migrations SELECT {version}, {}, {}", sql::text(name), sql::text(&digest));
            self.execute(self.query(&record)).await?;
            ran += 1;
        }
        Ok(ran)
    }

    async fn create_database(&self) -> Result<(), ClickHouseError> {
        // Over a connection without a database: the server refuses any statement in a database that does not exist.
        let outside = Client::default().with_url(&self.url).with_user(&self.user).with_password(&self.password);
        let statement = format!("CREATE DATABASE IF NOT EXISTS {}", self.database());
        outside.query_raw(&statement).execute().await.map_err(ClickHouseError::from)
    }
}

/// The statements of one file: each ends with a semicolon at the end of a line. Comments stand on lines of their own.
fn statements(text: &str) -> Vec<String> {
    let mut code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.push("");
    code.join("\n").split(";\n").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

struct HexDigest<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexDigest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_semicolons_that_end_a_line() {
        let text = "-- why; really\nCREATE TABLE a (x String DEFAULT ';x');\n\nCREATE TABLE b (y UInt8)\n;\n";
        assert_eq!(statements(text), ["CREATE TABLE a (x String DEFAULT ';x')", "CREATE TABLE b (y UInt8)"]);
    }

    #[test]
    fn migrations_are_numbered_without_a_gap() {
        for (index, (version, ..)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*version as usize, index + 1);
        }
    }
}
