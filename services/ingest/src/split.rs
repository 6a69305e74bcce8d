//! One pass over a body that finds where each event begins and ends. No event is copied and no tree is built: an event is a
//! slice of the body, and so is the record that the log gets.

use crate::body::Shape;
use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use talea_domain::error::FieldError;
use talea_platform::http::Problem;

/// The events of a body, in order, as slices of it.
pub fn split(body: &Bytes, shape: Shape, max_events: usize) -> Result<Vec<Bytes>, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match (first, shape) {
        (Some(b'['), Shape::Batch | Shape::Either) => batch(body, max_events),
        (Some(b'{'), Shape::One | Shape::Either) => {
            let event: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
            Ok(vec![body.slice_ref(event.get().as_bytes())])
        }
        (_, shape) => Err(wrong_shape(shape)),
    }
}

fn batch(body: &Bytes, max_events: usize) -> Result<Vec<Bytes>, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json.deserialize_seq(Elements { max_events }).and_then(|found| json.end().map(|()| found));
    let (elements, count) = found.map_err(not_json)?;
    if count > max_events {
        return Err(Problem::too_large(format!(
            "a request may have {max_events} events, this one has {count}: send smaller batches"
        )));
    }
    Ok(elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect())
}

/// Collects an array's elements up to the limit and only counts the rest, so that a body of tiny elements takes no memory.
struct Elements {
    max_events: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of CloudEvents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.max_events
            && let Some(element) = array.next_element()?
        {
            elements.push(element);
        }
        let mut count = elements.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((elements, count))
    }
}

fn not_json(error: serde_json::Error) -> Problem {
    FieldError::new(
        "",
        format!("the body is not JSON: {error}"),
        "send one CloudEvent as a JSON object, or an array of them",
    )
    .into()
}

fn wrong_shape(shape: Shape) -> Problem {
    let (reason, way_out) = match shape {
        Shape::One => ("is not a JSON object", "send one event, or `application/cloudevents-batch+json` with an array"),
        Shape::Batch => {
            ("is not a JSON array", "send an array of events, or `application/cloudevents+json` with one event")
        }
        Shape::Either => ("is neither a JSON object nor an array", "send one CloudEvent, or an array of them"),
    };
    FieldError::new("", format!("the body {reason}"), way_out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &'static str, shape: Shape, max_events: usize) -> Result<Vec<String>, u16> {
        let events =
            split(&Bytes::from_static(body.as_bytes()), shape, max_events).map_err(|problem| problem.status)?;
        Ok(events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect())
    }

    #[test]
    fn a_body_is_split_as_its_type_promises() {
        use Shape::{Batch, Either, One};
        let check = |body, shape, expected: Result<&[&str], u16>| {
            let expected = expected.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
            assert_eq!(texts(body, shape, 3), expected, "{body}");
        };
        check(" {\"a\": 1.10} \n", One, Ok(&["{\"a\": 1.10}"]));
        check("{\"a\":1}", Either, Ok(&["{\"a\":1}"]));
        check("{\"a\":1}", Batch, Err(400));
        check("[{\"a\":1}]", One, Err(400));
        check("[]", Batch, Ok(&[]));
        check("[ {\"a\":[1,2]} ,7, \"x\" ]", Batch, Ok(&["{\"a\":[1,2]}", "7", "\"x\""]));
        check("[1,2,3]", Either, Ok(&["1", "2", "3"]));
        check("[1,2,3,4]", Either, Err(413));
        check("[1,2", Batch, Err(400));
        check("[1] x", Batch, Err(400));
        check("{\"a\":1} {}", One, Err(400));
        check("", Either, Err(400));
        check("null", Either, Err(400));
        check("\"text\"", One, Err(400));
    }

    #[test]
    fn events_are_slices_of_the_body() {
        let body = Bytes::from_static(b"[{\"id\":\"1\"},{\"id\":\"2\"}]");
        let events = split(&body, Shape::Batch, 10).expect("splits");
        assert_eq!(events[1].as_ptr(), body[12..].as_ptr());
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!("[{}{}]", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(split(&deep.into(), Shape::Batch, 10).expect("one element").len(), 1);
    }
}
