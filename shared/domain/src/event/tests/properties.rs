//! What counting once rests on: spelling and order never change a body, another value always does.

use super::*;
use proptest::prelude::*;

/// A JSON value that can be written in more than one way.
#[derive(Debug, Clone)]
enum Shape {
    Null,
    Bool(bool),
    Number(i64, u32),
    Text(String),
    Array(Vec<Shape>),
    Object(BTreeMap<String, Shape>),
}

impl Shape {
    fn write(&self, other_way: bool, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(&value.to_string()),
            Self::Number(mantissa, decimals) if other_way => out.push_str(&format!("{mantissa}00E-{}", decimals + 2)),
            Self::Number(mantissa, decimals) => {
                out.push_str(&rust_decimal::Decimal::new(*mantissa, *decimals).to_string())
            }
            Self::Text(text) => write_text(text, other_way, out),
            Self::Array(items) => {
                let items = items.iter().map(|item| (None, item));
                write_all(items, ['[', ']'], other_way, out);
            }
            Self::Object(members) if other_way => {
                write_all(members.iter().rev().map(|(name, value)| (Some(name), value)), ['{', '}'], true, out);
            }
            Self::Object(members) => {
                write_all(members.iter().map(|(name, value)| (Some(name), value)), ['{', '}'], false, out);
            }
        }
    }
}

fn write_all<'a>(
    items: impl Iterator<Item = (Option<&'a String>, &'a Shape)>,
    [open, close]: [char; 2],
    other_way: bool,
    out: &mut String,
) {
    out.push(open);
    for (index, (name, value)) in items.enumerate() {
        out.push_str(match (index, other_way) {
            (0, _) => "",
            (_, true) => " ,\n",
            _ => ",",
        });
        if let Some(name) = name {
            write_text(name, other_way, out);
            out.push(':');
        }
        value.write(other_way, out);
    }
    out.push(close);
}

fn write_text(text: &str, other_way: bool, out: &mut String) {
    if other_way {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        out.push_str(&format!("\"{units}\""));
    } else {
        out.push_str(&serde_json::to_string(text).expect("a text"));
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Null),
        any::<bool>().prop_map(Shape::Bool),
        (any::<i64>(), 0u32..=18).prop_map(|(mantissa, decimals)| Shape::Number(mantissa, decimals)),
        "\\PC{0,8}|[\\x00-\\x7f]{0,8}".prop_map(Shape::Text),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Shape::Array),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..4).prop_map(Shape::Object),
        ]
    })
}

proptest! {
    #[test]
    fn spelling_and_order_never_change_the_body(shape in shape()) {
        let (mut one, mut other) = (String::new(), String::new());
        shape.write(false, &mut one);
        shape.write(true, &mut other);
        let (one, other) = (parse(&with_data(&one)), parse(&with_data(&other)));
        prop_assert_eq!(one.as_ref().map(|event| event.body_hash), other.as_ref().map(|event| event.body_hash));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn the_canonical_form_is_its_own_canonical_form(shape in shape()) {
        let mut text = String::new();
        shape.write(true, &mut text);
        let once = parse_data(&text);
        prop_assert_eq!(parse_data(&once), once);
    }

    #[test]
    fn another_value_is_another_body(left in -1000i64..1000, right in -1000i64..1000, decimals in 0u32..4) {
        let hash = |mantissa: i64| {
            let value = rust_decimal::Decimal::new(mantissa, decimals);
            parse(&with_data(&format!(r#"{{"n":{value}}}"#))).expect("valid").body_hash
        };
        prop_assert_eq!(hash(left) == hash(right), left == right);
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}\",:0-9eE.\\\\utnd -]{0,60}") {
        let limits = EventLimits::default();
        let _ = UsageEvent::parse_structured(&bytes, None, &limits);
        let _ = UsageEvent::parse_structured(with_data(&text).as_bytes(), None, &limits);
    }
}
