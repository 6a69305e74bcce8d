//! A signal on `talea.quota.v1`: a CloudEvent 1.0 in structured JSON, its id the signal's, its data the whole signal.

use super::Signal;
use crate::id::{FeatureKey, TenantId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Who says it: the `source` attribute.
const SOURCE: &str = "/talea/quota";

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    specversion: Cow<'a, str>,
    id: Cow<'a, str>,
    source: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    subject: Cow<'a, FeatureKey>,
    time: DateTime<Utc>,
    datacontenttype: Cow<'a, str>,
    tenantid: Cow<'a, TenantId>,
    data: Cow<'a, Signal>,
}

/// A record of the quota topic that is no signal. Skip it: trying again cannot help.
#[derive(Debug, thiserror::Error)]
#[error("a record of the quota topic is no signal: {0}")]
pub struct SignalError(#[from] serde_json::Error);

impl Signal {
    /// `talea.quota.<kind>.v1`
    pub fn event_type(&self) -> String {
        format!("talea.quota.{}.v1", self.kind.as_str())
    }

    /// The record's value.
    pub fn cloud_event(&self) -> Result<Vec<u8>, SignalError> {
        Ok(serde_json::to_vec(&Envelope {
            specversion: "1.0".into(),
            id: self.id.as_str().into(),
            source: SOURCE.into(),
            kind: self.event_type().into(),
            subject: Cow::Borrowed(&self.feature),
            time: self.observed_at,
            datacontenttype: "application/json".into(),
            tenantid: Cow::Borrowed(&self.tenant_id),
            data: Cow::Borrowed(self),
        })?)
    }

    /// Reads what [`Signal::cloud_event`] wrote, in this or an earlier version.
    pub fn from_cloud_event(value: &[u8]) -> Result<Self, SignalError> {
        let envelope: Envelope<'_> = serde_json::from_slice(value)?;
        Ok(envelope.data.into_owned())
    }
}
