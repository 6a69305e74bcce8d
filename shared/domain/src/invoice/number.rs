//! Invoice numbers as printed. That they have no gaps is the matter of whoever counts: one row per series, in the
//! finalising transaction.

/// `INV-2023-000042`, or `INV-000042` for a series that goes on over the years. Wider numbers are never cut.
pub fn format_number(series: &str, year: Option<i32>, number: u64) -> String {
    match year {
        Some(year) => format!("{series}-{year}-{number:06}"),
        None => format!("{series}-{number:06}"),
    }
}
