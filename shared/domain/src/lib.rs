//! The domain of Talea: pure, synchronous, exact. No I/O, no clock, no randomness, no floats. Time and ids are arguments.
//!
//! Reading order: [`event`] (what happened), [`meter`] (what is counted), [`plan`] and [`rating`] (what it costs),
//! [`subscription`] and [`period`] (when), [`charge`] (what is asked once), [`discount`] and [`tax`] (what changes it),
//! [`invoice`] (what is owed), [`credit`] (what is paid ahead), [`credit_note`] and [`dunning`] (what becomes of it), [`entitlement`] (what is allowed),
//! [`journal`] (what was decided), [`simulation`] (all of it at once, over a document).

pub mod charge;
pub mod credit;
pub mod credit_note;
pub mod discount;
pub mod dunning;
pub mod entitlement;
pub mod error;
pub mod event;
pub mod id;
pub mod invoice;
pub mod journal;
pub mod meter;
pub mod money;
pub mod objects;
pub mod party;
pub mod period;
pub mod plan;
pub mod quantity;
pub mod rating;
pub mod simulation;
pub mod subscription;
pub mod tax;
pub mod tenant;
