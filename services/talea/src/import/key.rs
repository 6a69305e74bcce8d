//! Where the API key comes from: a file or the environment, never the command line, which everyone on the machine can read.

use crate::local::admin_key_path;
use anyhow::{Context, bail};
use std::path::Path;
use talea_platform::secret::Secret;

/// The environment variable that may hold the key.
pub const VARIABLE: &str = "TALEA_API_KEY";

/// The file that was named, else the environment's key, else the local administrator's.
pub fn resolve(key_file: Option<&Path>, environment: Option<String>, home: &Path) -> anyhow::Result<Secret> {
    if let Some(path) = key_file {
        return read(path).with_context(|| format!("reading the API key from {}", path.display()));
    }
    if let Some(key) = environment.filter(|key| !key.trim().is_empty()) {
        return Ok(Secret::new(key.trim()));
    }
    let path = admin_key_path(home);
    read(&path).with_context(|| {
        format!(
            "no API key: set {VARIABLE}, or name a file with --key-file, or start `talea serve` here, which writes {}",
            path.display()
        )
    })
}

fn read(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path)?;
    match text.trim() {
        "" => bail!("the file is empty"),
        key => Ok(Secret::new(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_before_the_environment_and_that_before_the_local_key() {
        let home = std::env::temp_dir().join(format!("talea-key-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder");
        let named = home.join("named.key");
        std::fs::write(&named, " from-file\n").expect("writes");
        let resolved = |file: Option<&Path>, variable: Option<&str>| {
            resolve(file, variable.map(str::to_owned), &home).map(|key| key.reveal().to_owned())
        };
        assert_eq!(resolved(Some(&named), Some("from-variable")).expect("there"), "from-file");
        assert_eq!(resolved(None, Some("from-variable")).expect("there"), "from-variable");
        let missing = format!("{:#}", resolved(None, Some(" ")).expect_err("no key"));
        assert!(missing.contains("--key-file") && missing.contains(VARIABLE), "{missing}");
        std::fs::write(admin_key_path(&home), "local\n").expect("writes");
        assert_eq!(resolved(None, None).expect("there"), "local");
        std::fs::remove_dir_all(&home).expect("cleans up");
    }
}
