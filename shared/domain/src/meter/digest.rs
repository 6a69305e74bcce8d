//! By which anyone can see later that a figure stands on exactly these events.

/// The digest of a set of events, from the sums of their identities and of their body hashes, both modulo 2^128: 64
/// lower-case hex digits, independent of order.
pub fn digest(identities: u128, body_hashes: u128) -> String {
    format!("{identities:032x}{body_hashes:032x}")
}
