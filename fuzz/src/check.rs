//! What holds for any bytes that somebody sends as a simulation document. The fuzz target and the replay of its corpus
//! (`shared/domain/tests/corpus.rs`) share it.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt::Formatter;
use talea_domain::simulation::{SimulationResult, simulate_line, simulate_text};

/// # Panics
/// Where something does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match simulate_text(text) {
        Ok(result) => hold(&result),
        Err(refusal) => {
            assert!(!refusal.errors.is_empty(), "refused without a fault");
            let document: Option<Tree> = serde_json::from_str(text).ok();
            for fault in &refusal.errors {
                assert!(!fault.reason.is_empty() && !fault.way_out.is_empty(), "{fault:?} says nothing");
                assert!(leads_somewhere(document.as_ref(), &fault.field), "{:?} leads nowhere", fault.field);
            }
        }
    }
    let (once, again) = (simulate_line(text), simulate_line(text));
    assert_eq!(once.expect("a result is JSON"), again.expect("a result is JSON"), "twice is not the same");
}

/// Every view adds up, whatever was asked.
fn hold(result: &SimulationResult) {
    for view in &result.views {
        let invoices = view.invoices.iter().map(AsRef::as_ref).chain(&view.drafts);
        for invoice in invoices {
            talea_domain::invoice::verify(invoice).expect("an invoice adds up");
        }
        for (index, invoice) in view.invoices.iter().enumerate() {
            let number = invoice.number.as_deref().expect("an issued invoice has a number");
            assert!(number.ends_with(&format!("-{:06}", index + 1)), "the numbers have a gap before {number}");
        }
    }
}

/// A JSON pointer to what is there, or to a member that is missing in something that is there. A text that is no JSON is
/// refused at its first fault, which may come before the place where it stops being JSON.
fn leads_somewhere(document: Option<&Tree>, pointer: &str) -> bool {
    let Some(document) = document else {
        return pointer.is_empty() || pointer.starts_with('/');
    };
    let tokens: Vec<String> =
        pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
    document.has(&tokens)
}

/// JSON in which a member may stand twice: where it does, a fault can be about either.
enum Tree {
    Leaf,
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn has(&self, tokens: &[String]) -> bool {
        let Some((token, rest)) = tokens.split_first() else {
            return true;
        };
        match self {
            Self::Leaf => false,
            // serde reads a struct from an array too, member by member.
            Self::Array(elements) => {
                let element = token.parse().ok().and_then(|index: usize| elements.get(index));
                rest.is_empty() || element.is_some_and(|it| it.has(rest))
            }
            Self::Object(members) => {
                rest.is_empty() || members.iter().any(|(name, member)| name == token && member.has(rest))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }

    /// Numbers too: with `arbitrary_precision` they come as a map.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
