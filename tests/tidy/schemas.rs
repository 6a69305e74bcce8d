//! Everything that crosses a border has a schema, and every stored example still is what its schema says.

use super::{files, has_extension, read};
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// How a golden file is checked.
enum Check {
    /// The whole document, by this schema.
    Whole(&'static str),
    /// A payload of the journal, by the type that the file is named after.
    Payload,
    /// The member `event`, where one is expected to be read.
    Event,
    /// No document that crosses a border.
    NoSchema,
}

fn check_of(path: &Path) -> Check {
    let golden = path.strip_prefix("schemas/golden").expect("a golden file");
    let first = golden.components().next().expect("a name").as_os_str().to_str().expect("UTF-8");
    match first {
        "usage-event" => Check::Event,
        "event-void" => Check::Whole("event-voided.v1"),
        "journal" => Check::Payload,
        "ingest-response" => Check::Whole("ingest-response.v1"),
        "invoice" => Check::Whole("invoice.v1"),
        "plan" => Check::Whole("plan.v1"),
        "simulation" => Check::Whole("simulation-result.v1"),
        "subscription" => Check::Whole("subscription.v1"),
        "totals.v1.json" => Check::Whole("totals.v1"),
        name if name.starts_with("billing-event") => Check::Whole("billing-event.v1"),
        name if name.starts_with("quota-signal") => Check::Whole("quota-signal.v1"),
        name if name.starts_with("tenant-lifecycle") => Check::Whole("tenant-lifecycle.v1"),
        // A table of numbers and their canonical forms.
        "quantities.json" => Check::NoSchema,
        _ => panic!("tell the schema of {} in tests/tidy/schemas.rs", path.display()),
    }
}

fn parse(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schemas() -> BTreeMap<String, Value> {
    let all = files("schemas").into_iter().filter(|path| has_extension(path, "json"));
    all.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".schema.json")?.to_owned();
        Some((name, parse(&path)))
    })
    .collect()
}

/// The schemas, compiled: each knows the others by their `$id`.
struct Validators {
    compiled: Schemas,
    by_name: BTreeMap<String, SchemaIndex>,
}

impl Validators {
    fn new() -> Self {
        let schemas = schemas();
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        for (name, schema) in &schemas {
            compiler.add_resource(id(schema), schema.clone()).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
        let mut compiled = Schemas::new();
        let by_name = schemas
            .iter()
            .map(|(name, schema)| {
                let index = compiler.compile(id(schema), &mut compiled);
                (name.clone(), index.unwrap_or_else(|error| panic!("{name}: {error:#}")))
            })
            .collect();
        Self { compiled, by_name }
    }

    /// What is wrong with a document; none when it is what the schema says.
    fn problem(&self, schema: &str, document: &Value) -> Option<String> {
        let index = self.by_name.get(schema).unwrap_or_else(|| panic!("schemas/{schema}.schema.json is missing"));
        self.compiled.validate(document, *index).err().map(|error| format!("{error:#}"))
    }
}

fn id(schema: &Value) -> &str {
    schema["$id"].as_str().expect("a schema has an $id")
}

#[test]
fn every_schema_is_one_and_is_named_after_its_file() {
    let schemas = schemas();
    assert!(!schemas.is_empty());
    for (name, schema) in &schemas {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(schema["$id"].as_str().is_some_and(|id| id.contains(name.as_str())), "{name}: its $id names another");
    }
    let ids: std::collections::BTreeSet<_> = schemas.values().map(|schema| schema["$id"].to_string()).collect();
    assert_eq!(ids.len(), schemas.len(), "two schemas have one $id");
    // Compiling checks each against the schema of schemas.
    assert_eq!(Validators::new().by_name.len(), schemas.len());
}

#[test]
fn every_golden_file_is_what_its_schema_says() {
    let validators = Validators::new();
    let mut checked = 0;
    for path in files("schemas/golden").iter().filter(|path| has_extension(path, "json")) {
        let document = parse(path);
        let (schema, document) = match check_of(path) {
            Check::Whole(schema) => (schema, document),
            Check::Payload => {
                let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
                ("journal.v1", entry(name.strip_suffix(".json").expect("JSON"), document))
            }
            Check::Event => {
                // What a schema cannot know (a member twice, a year after the zone is applied) is the reader's to refuse.
                if document["expect"].is_null() {
                    continue;
                }
                ("usage-event.v1", document["event"].clone())
            }
            Check::NoSchema => continue,
        };
        // A file may hold several documents.
        let documents = document.as_array().cloned().unwrap_or_else(|| vec![document]);
        let problem = documents.iter().find_map(|document| validators.problem(schema, document));
        assert!(problem.is_none(), "{} by {schema}: {}", path.display(), problem.unwrap_or_default());
        checked += 1;
    }
    println!("{checked} golden files, {} schemas", validators.by_name.len());
    assert!(checked > 20, "the golden files were not found");
}

#[test]
fn every_simulation_example_is_what_its_schema_says() {
    let validators = Validators::new();
    let examples = files("schemas/examples/simulate");
    assert!(examples.len() >= 20, "the examples were not found");
    for path in examples {
        let problem = validators.problem("simulation.v1", &parse(&path));
        assert!(problem.is_none(), "{}: {}", path.display(), problem.unwrap_or_default());
    }
}

/// The entry around a payload.
fn entry(kind: &str, payload: Value) -> Value {
    json!({
        "position": 1, "tenant_id": "acme", "stream": "x/y", "version": 1, "type": kind, "payload": payload,
        "effective_at": "2026-01-01T00:00:00Z", "recorded_at": "2026-01-01T00:00:00Z", "actor": "test",
    })
}

#[test]
fn every_type_of_the_journal_has_a_golden_file() {
    let schema = &schemas()["journal.v1"];
    for kind in schema["properties"]["type"]["enum"].as_array().expect("a list") {
        let name = format!("schemas/golden/journal/{}.json", kind.as_str().expect("text"));
        assert!(super::root().join(&name).exists(), "{name} is missing");
    }
}
