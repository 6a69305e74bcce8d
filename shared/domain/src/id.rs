//! Typed ids. A tenant's id is the customer's own name for it; the ids that Talea makes carry a prefix, so that one kind
//! can never be taken for another.

use crate::error::FieldError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest id or key taken from outside, in bytes. It leads every sort key, so it is kept short.
pub const MAX_KEY_BYTES: usize = 64;

fn check_key(field: &str, text: &str) -> Result<(), FieldError> {
    let first_ok = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest_ok = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if text.len() > MAX_KEY_BYTES || !first_ok || !rest_ok {
        return Err(FieldError::new(
            field,
            "is not a key",
            format!("use 1 to {MAX_KEY_BYTES} of A-Z a-z 0-9 . _ - and start with a letter or digit"),
        ));
    }
    Ok(())
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Parses; the error names the field.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                check_key($field, text)?;
                Ok(Self(text.into()))
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = FieldError;
            fn try_from(text: String) -> Result<Self, FieldError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
        impl std::str::FromStr for $name {
            type Err = FieldError;
            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::parse(text)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

key!(
    /// A customer of the SaaS company. Chosen by the company; leads every key of every table.
    TenantId, "tenant_id");
key!(
    /// A meter's name, for example `tokens_in`.
    MeterKey, "meter");
key!(
    /// A plan's name, for example `pay-as-you-go`.
    PlanKey, "plan");
key!(
    /// A price's name within its plan, for example `tokens_in`.
    PriceKey, "price");
key!(
    /// A feature's name, for example `api_calls`: what an entitlement is about.
    FeatureKey, "feature");
key!(
    /// An add-on's name within its subscription, for example `support`.
    AddOnKey, "add_on");
key!(
    /// A coupon's name, for example `WELCOME10`: what a customer enters.
    CouponKey, "coupon");
key!(
    /// What kind of product a price is to the tax office, for example `books`.
    TaxCategory, "tax_category");
key!(
    /// `sub_…`: one subscription of one tenant.
    SubscriptionId, "subscription_id");
key!(
    /// `inv_…`: derived from (subscription, period, revision), so that a second run finds the first's invoice.
    InvoiceId, "invoice_id");
key!(
    /// `crn_…`: a credit note; derived from (invoice, place among its notes).
    CreditNoteId, "credit_note_id");
key!(
    /// `chg_…`: a one-off charge of one tenant.
    ChargeId, "charge_id");
key!(
    /// `wal_…`: a wallet of prepaid credits.
    WalletId, "wallet_id");
key!(
    /// `grn_…`: credits that were granted at once.
    GrantId, "grant_id");
key!(
    /// `top_…`: an order for more credits; derived from the wallet and the movement that led to it.
    TopUpOrderId, "order_id");
key!(
    /// `key_…`: an API key's public name. Never the secret.
    ApiKeyId, "key_id");

/// Makes a prefixed id from 128 bits that are given, never drawn here.
pub fn prefixed(prefix: &str, bits: u128) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut digits = [0u8; 26];
    let mut rest = bits;
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    format!("{prefix}_{}", digits.iter().map(|d| *d as char).collect::<String>())
}

/// 128 bits that depend on each part and on the borders between them (length-prefixed, BLAKE3).
pub fn derive_bits(domain: &str, parts: &[&str]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&domain).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut first = [0u8; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_plain() {
        for good in ["acme", "Acme-1.eu_x", "9"] {
            assert!(TenantId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", &"a".repeat(65), "a\0", "a'"] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn borders_between_parts_count() {
        assert_ne!(derive_bits("x", &["a", "b-c"]), derive_bits("x", &["a-b", "c"]));
        assert_ne!(derive_bits("x", &["ab", "c"]), derive_bits("x", &["a", "bc"]));
        assert_eq!(derive_bits("x", &["ab"]), derive_bits("x", &["ab"]));
    }

    #[test]
    fn prefixed_ids_are_keys() {
        let id = prefixed("inv", u128::MAX);
        assert!(InvoiceId::parse(&id).is_ok());
        assert_eq!(id.len(), 30);
    }
}
