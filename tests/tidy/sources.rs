//! Calls that are banned, files that say why they exist, migrations without a gap, and how large the files are.

use super::{files, has_extension, read};
use std::path::{Path, PathBuf};

const CODE: [&str; 3] = ["shared", "services", "tests"];

/// A text that must not stand in code, where it may, and why not elsewhere.
struct Ban {
    text: &'static str,
    below: &'static [&'static str],
    except: &'static [&'static str],
    why: &'static str,
}

const CLOCK: &[&str] = &["shared/platform/src/clock.rs"];
/// Counts become floats where a gauge shows them, and go nowhere else.
const GAUGES_AND_FORWARDING: &[&str] = &["services/billing/src/run/summary.rs", FORWARDS];
const FORWARDING: &[&str] = &[FORWARDS];
/// Names every kind of value that a deserializer can have, and keeps none.
const FORWARDS: &str = "shared/domain/src/objects/adapter.rs";
/// The command line prints; a build script speaks to Cargo.
const PRINTS: &[&str] = &["services/talea/src", "shared/platform/build.rs"];
const EVERYWHERE: &[&str] = &["shared", "services"];
const EXACT: &[&str] = &["shared/domain/src", "services/billing/src", "shared/platform/src/usage"];

const BANS: [Ban; 14] = [
    Ban { text: "Utc::now", below: EVERYWHERE, except: CLOCK, why: "time is an argument; ask platform::clock::Clock" },
    Ban { text: "Local::now", below: EVERYWHERE, except: &[], why: "time is an argument; ask platform::clock::Clock" },
    Ban {
        text: "SystemTime::now",
        below: EVERYWHERE,
        except: CLOCK,
        why: "time is an argument; ask platform::clock::Clock",
    },
    Ban {
        text: "Uuid::new_v4",
        below: EVERYWHERE,
        except: &["shared/platform/src/random.rs"],
        why: "ids are arguments; ask platform::random",
    },
    Ban { text: "from_f64", below: EVERYWHERE, except: &[], why: "money and quantities never touch a float" },
    Ban { text: "from_f32", below: EVERYWHERE, except: &[], why: "money and quantities never touch a float" },
    Ban { text: "f64", below: EXACT, except: GAUGES_AND_FORWARDING, why: "no float between event and invoice" },
    Ban { text: "f32", below: EXACT, except: FORWARDING, why: "no float between event and invoice" },
    Ban {
        text: ".unwrap()",
        below: EVERYWHERE,
        except: &[],
        why: "answer an error, or prove by expect that there is none",
    },
    Ban { text: "todo!", below: EVERYWHERE, except: &[], why: "finish it" },
    Ban { text: "unimplemented!", below: EVERYWHERE, except: &[], why: "finish it" },
    Ban { text: "dbg!", below: EVERYWHERE, except: &[], why: "use tracing" },
    Ban { text: "println!", below: EVERYWHERE, except: PRINTS, why: "only the command line prints" },
    Ban {
        text: "\u{2014}",
        below: &["shared", "services", "tests", "migrations"],
        except: &[],
        why: "write two sentences",
    },
];

/// Floats in SQL lose money in silence.
const SQL_FLOATS: [&str; 6] = ["float", "double precision", " real", "tofloat", "uniq(", "uniqhll"];

fn code() -> Vec<PathBuf> {
    let all = CODE.iter().flat_map(|folder| files(folder));
    all.filter(|path| has_extension(path, "rs") && !path.components().any(|part| part.as_os_str() == "target"))
        .collect()
}

/// Tests beside the code, by name or by place.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let is_beside = path.components().any(|part| part.as_os_str() == "tests");
    is_beside || name == "tests" || name.ends_with("_test") || name.ends_with("_tests")
}

/// Numbered lines without comments, up to the module of tests, which by the house's habit stands last.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    code.lines().enumerate().map(|(index, line)| {
        let code = if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) };
        (index + 1, code)
    })
}

/// Whether the text stands there as a word of its own: `f64` in `put_f64_le`, but not in `of640`.
fn holds(line: &str, text: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
    line.match_indices(text).any(|(at, _)| {
        let starts_as_word = !text.starts_with(char::is_alphanumeric) || !is_letter(line[..at].chars().next_back());
        let ends_as_word = !text.ends_with(char::is_alphanumeric) || !is_letter(line[at + text.len()..].chars().next());
        starts_as_word && ends_as_word
    })
}

fn is_below(path: &Path, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

#[test]
fn banned_calls_are_nowhere() {
    let mut broken = Vec::new();
    let mut look = |path: &Path, lines: &mut dyn Iterator<Item = (usize, &str)>| {
        for (number, line) in lines {
            for ban in &BANS {
                if is_below(path, ban.below) && !is_below(path, ban.except) && holds(line, ban.text) {
                    broken.push(format!("{}:{number}: `{}`: {}", path.display(), ban.text, ban.why));
                }
            }
        }
    };
    for path in code().iter().filter(|path| !is_test(path)) {
        look(path, &mut production(&read(path)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn sql_has_no_floats_and_no_estimates() {
    for path in files("migrations").iter().filter(|path| has_extension(path, "sql")) {
        let text = read(path);
        for (number, line) in text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or_default().to_lowercase();
            for float in SQL_FLOATS {
                assert!(!code.contains(float), "{}:{}: `{float}` is not exact", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_file_says_why_it_exists() {
    // Tests beside the code belong to the file whose name they carry.
    let told = |path: &PathBuf| !is_test(path) || path.starts_with("tests");
    let silent: Vec<_> = code().into_iter().filter(|path| told(path) && !read(path).starts_with("//!")).collect();
    assert!(silent.is_empty(), "begin these with `//!` and a sentence: {silent:#?}");
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    for folder in ["migrations/postgres", "migrations/clickhouse"] {
        let names: Vec<String> = files(folder)
            .iter()
            .map(|path| path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned())
            .collect();
        assert!(!names.is_empty());
        for (expected, name) in (1..).zip(&names) {
            let prefix = format!("{expected:04}_");
            assert!(
                name.starts_with(&prefix) && name.ends_with(".sql"),
                "{folder}/{name}: expected {expected:04}_NAME.sql"
            );
        }
    }
}

/// A report, not a rule: where a file that grew does one thing only, it may.
#[test]
fn file_sizes_are_reported() {
    let mut sizes: Vec<(usize, PathBuf)> =
        code().into_iter().filter(|path| !is_test(path)).map(|path| (read(&path).lines().count(), path)).collect();
    sizes.sort();
    let (median, lines) = (sizes[sizes.len() / 2].0, sizes.iter().map(|(lines, _)| lines).sum::<usize>());
    println!("{} production files, {lines} lines, median {median}", sizes.len());
    for (lines, path) in sizes.iter().rev().take_while(|(lines, _)| *lines > 250) {
        println!("{lines:5} {}", path.display());
    }
    assert!(median < 250, "files grew: the median is {median} lines");
}
