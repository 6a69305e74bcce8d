//! The one source of randomness. Ids and keys are drawn here and handed to the domain as arguments.

use rand::Rng;

/// 128 random bits for a new id.
pub fn bits128() -> u128 {
    rand::rng().next_u64() as u128 | (rand::rng().next_u64() as u128) << 64
}

/// 256 random bits for a secret. The generator is the thread's cryptographic one, seeded by the system.
pub fn secret256() -> [u8; 32] {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
