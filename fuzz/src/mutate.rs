//! Changes of a document that leave it JSON: a value is replaced by another one of the document or by one that is known to be
//! awkward, a member or an element is taken out or doubled.

use serde_json::{Number, Value};

/// Texts at which parsers and arithmetic have their edges.
const AWKWARD: &[&str] = &[
    "",
    "0",
    "-0",
    "-1",
    "0.000000000000000001",
    "1e3",
    "79228162514264337593543950335",
    "9223372036854775807",
    "0.5",
    "1970-01-01T00:00:00Z",
    "2199-12-31T23:59:59.999999999Z",
    "2024-02-29T23:59:59+14:00",
    "2026-03-29T01:30:00Z",
    "+262142-12-31T23:59:59Z",
    "Europe/Berlin",
    "America/St_Johns",
    "Pacific/Apia",
    "UTC",
    "USD",
    "JPY",
    "KWD",
    "week",
    "month",
    "year",
    "day",
    "second",
    "none",
    "now",
    "period_end",
    "in_advance",
    "in_arrears",
    "calendar",
    "anniversary",
];

/// The changed document; none where the bytes are no JSON, or where this change is left to blind mutation.
pub fn document(bytes: &[u8], max_size: usize, seed: u32) -> Option<Vec<u8>> {
    let mut dice = Dice(u64::from(seed) | 1 << 40);
    if dice.below(8) == 0 {
        return None;
    }
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    for _ in 0..=dice.below(3) {
        change(&mut document, &mut dice);
    }
    serde_json::to_vec(&document).ok().filter(|changed| changed.len() <= max_size)
}

fn change(document: &mut Value, dice: &mut Dice) {
    let paths = paths(document);
    let Some(path) = dice.pick(&paths) else { return };
    let other = dice.pick(&paths).and_then(|path| document.pointer(path)).cloned().unwrap_or_default();
    match dice.below(6) {
        0 => set(document, path, other),
        1 => remove(document, path),
        2 => double(document, path, other, dice),
        3 => {
            let number = [0, 1, 2, 12, 31, 32, 400, u64::from(u32::MAX), u64::MAX][dice.below(9)];
            set(document, path, Value::Number(Number::from(number)));
        }
        _ => {
            let text = dice.pick(AWKWARD).copied().unwrap_or_default();
            set(document, path, Value::String(text.to_owned()));
        }
    }
}

fn set(document: &mut Value, path: &str, to: Value) {
    if let Some(place) = document.pointer_mut(path) {
        *place = to;
    }
}

/// The container above a path, and its last token as it is written in the container.
fn above<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((document.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn remove(document: &mut Value, path: &str) {
    match above(document, path) {
        Some((Value::Array(elements), index)) => {
            index.parse().ok().filter(|index| *index < elements.len()).map(|index: usize| elements.remove(index));
        }
        Some((Value::Object(members), name)) => drop(members.remove(&name)),
        _ => {}
    }
}

/// An element once more; beside a member, one that another object has.
fn double(document: &mut Value, path: &str, other: Value, dice: &mut Dice) {
    match above(document, path) {
        Some((Value::Array(elements), index)) => {
            if let Some(element) = index.parse().ok().and_then(|index: usize| elements.get(index).cloned()) {
                elements.push(element);
            }
        }
        Some((Value::Object(members), _)) => {
            if let Value::Object(others) = other {
                let names: Vec<&String> = others.keys().collect();
                if let Some(name) = dice.pick(&names) {
                    members.insert((*name).clone(), others[*name].clone());
                }
            }
        }
        _ => {}
    }
}

/// Pointers to every value of a document.
fn paths(document: &Value) -> Vec<String> {
    let (mut found, mut waiting) = (Vec::new(), vec![(String::new(), document)]);
    while let Some((path, value)) = waiting.pop() {
        match value {
            Value::Array(elements) => {
                waiting.extend(elements.iter().enumerate().map(|(index, value)| (format!("{path}/{index}"), value)));
            }
            Value::Object(members) => waiting.extend(members.iter().map(|(name, value)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                (format!("{path}/{name}"), value)
            })),
            _ => {}
        }
        found.push(path);
    }
    found
}

/// SplitMix64: the same seed makes the same change.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}
