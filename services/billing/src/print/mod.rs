//! An invoice and a credit note, for other programs and for people.

pub mod credit_note_csv;
pub mod credit_note_html;
pub mod csv;
pub mod html;
