//! Events as an app service would send them.

use serde_json::{Value, json};

/// A CloudEvent that is being made.
#[derive(Clone, Debug)]
pub struct Event(Value);

/// A valid event of type `api.call` with `data.tokens` 1, at noon of the day on which the tests' clock starts.
pub fn event(tenant: &str, id: &str) -> Event {
    Event(json!({
        "specversion": "1.0", "id": id, "source": "/api", "type": "api.call", "time": super::stage::NOON,
        "tenantid": tenant, "data": { "tokens": 1 },
    }))
}

impl Event {
    /// Sets an attribute.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.as_object_mut().expect("an event is an object").remove(name);
        self
    }

    pub fn source(self, source: &str) -> Self {
        self.with("source", source)
    }

    pub fn at(self, time: &str) -> Self {
        self.with("time", time)
    }

    pub fn tokens(self, tokens: u64) -> Self {
        self.with("data", json!({ "tokens": tokens }))
    }

    /// `data` as JSON text, to the digit: a number goes out as it is written here.
    pub fn data(self, text: &str) -> Self {
        self.with("data", serde_json::from_str::<Value>(text).expect("JSON"))
    }

    pub fn json(&self) -> &Value {
        &self.0
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }
}
