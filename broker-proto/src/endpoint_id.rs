//! `EndpointId`: who an endpoint is (WIRE §3.1).

use std::fmt;
use std::str::FromStr;

/// The 16 bytes that name an endpoint. Of two endpoints the one with the smaller id originates.
#[derive(Clone, Copy, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct EndpointId([u8; 16]);

impl EndpointId {
    /// All zero: nobody as a sender, everybody as a receiver.
    pub const NIL: Self = Self([0; 16]);

    /// From the bytes on the wire.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether this is [`Self::NIL`].
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an endpoint id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an endpoint id in 8-4-4-4-12 form")]
pub struct EndpointIdParseError;

impl FromStr for EndpointId {
    type Err = EndpointIdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let digits = groups.concat();
        let all_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        if lengths != [8, 4, 4, 4, 12] || !all_hex {
            return Err(EndpointIdParseError);
        }
        let bits = u128::from_str_radix(&digits, 16).map_err(|_| EndpointIdParseError)?;
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let text = "5746d8ee-3644-5bd2-9f54-d5a44c26c2a1";
        let id: EndpointId = text.parse().unwrap();
        assert_eq!(id.as_bytes()[..4], [0x57, 0x46, 0xd8, 0xee]);
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "5746d8ee36445bd29f54d5a44c26c2a1",
            "5746d8ee-3644-5bd2-9f54-+5a44c26c2a1",
        ] {
            assert_eq!(text.parse::<EndpointId>(), Err(EndpointIdParseError));
        }
    }
}
