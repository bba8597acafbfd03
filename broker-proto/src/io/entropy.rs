//! Randomness from the operating system.

/// A seed for [`crate::IdGen`], different in every process.
///
/// # Panics
/// If the operating system has no randomness to give. Ids made from anything less could collide
/// with another endpoint's, so there is nothing to go on with.
#[must_use]
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Not OpenSSL, which would be set up for these eight bytes.
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .expect("the system's random source is always ready");
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed(), seed());
    }
}
