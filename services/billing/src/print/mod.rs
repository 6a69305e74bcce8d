//! An invoice for other programs and for people.

pub mod csv;
pub mod html;
