//! `IdGen`: ids from a seed, so that the same seed gives the same bytes.

use crate::EndpointId;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A source of ids that need to differ, not to be secret (SplitMix64).
#[derive(Clone, Debug)]
pub struct IdGen {
    state: u64,
}

impl IdGen {
    /// Starts from a seed; programs take it from the operating system.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A request or configuration id in the form of Zeek's `unique_id("")`: base 62, up to 11 digits.
    pub fn unique_id(&mut self) -> String {
        let mut rest = self.next_u64();
        let mut text = String::new();
        while rest > 0 {
            let digit = usize::try_from(rest % 62).unwrap_or_default();
            text.extend(BASE62.get(digit).map(|&b| char::from(b)));
            rest /= 62;
        }
        text
    }

    /// An endpoint id with stock's version nibble 5 and the variant bits of RFC 4122 (WIRE §3.1).
    pub fn endpoint_id(&mut self) -> EndpointId {
        let bits = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        let bits = bits & !(0xf << 76) | (0x5 << 76);
        let bits = bits & !(0x3 << 62) | (0x2 << 62);
        EndpointId::from_bytes(bits.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (mut a, mut b) = (IdGen::new(7), IdGen::new(7));
        assert_eq!(a.unique_id(), b.unique_id());
        assert_eq!(a.endpoint_id(), b.endpoint_id());
        assert_ne!(a.unique_id(), a.unique_id());
    }

    #[test]
    fn endpoint_ids_carry_version_and_variant() {
        let text = IdGen::new(1).endpoint_id().to_string();
        assert_eq!(&text[14..15], "5");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
    }
}
