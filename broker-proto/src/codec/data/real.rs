//! Reals in Broker's bits (WIRE §3.4).

const SIGN: u64 = 1 << 63;
const PLUS_INFINITY: u64 = 0xfff0_0000_0000_0000;
const MINUS_INFINITY: u64 = 0x7ff0_0000_0000_0000;
const NAN: u64 = u64::MAX;
const EXPONENT: u64 = 0x7ff0_0000_0000_0000;

/// Broker's bits for a real: the infinities are swapped, every NaN is all ones (WIRE §3.4).
/// Subnormal numbers become a zero of their sign, since stock's own bytes for them mean nothing.
pub(in crate::codec) fn real_to_bits(value: f64) -> u64 {
    if value.is_nan() {
        return NAN;
    }
    if value.is_infinite() {
        return if value > 0.0 {
            PLUS_INFINITY
        } else {
            MINUS_INFINITY
        };
    }
    let bits = value.to_bits();
    if value.is_subnormal() {
        bits & SIGN
    } else {
        bits
    }
}

/// The real that stock reads from these bits (WIRE §3.4), save that subnormal patterns are zeros:
/// they would be written as such, and then two elements of a set could become one.
pub(in crate::codec) fn real_from_bits(bits: u64) -> f64 {
    let exponent = bits & EXPONENT;
    if bits == NAN {
        return f64::NAN;
    }
    if exponent == EXPONENT {
        let minus = bits == MINUS_INFINITY || (bits != PLUS_INFINITY && bits & SIGN != 0);
        return if minus {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    if exponent == 0 {
        return f64::from_bits(bits & SIGN);
    }
    f64::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_reals_are_read_as_stock_reads_them() {
        assert_eq!(real_from_bits(0x7ff8_0000_0000_0000), f64::INFINITY);
        assert_eq!(real_from_bits(0xfff8_0000_0000_0000), f64::NEG_INFINITY);
        assert_eq!(real_to_bits(5e-324), 0);
        assert_eq!(real_to_bits(-5e-324), SIGN);
    }

    #[test]
    fn subnormal_patterns_are_zeros_of_their_sign() {
        for (bits, zero) in [(1, 0.0_f64), (SIGN | 1, -0.0), ((1 << 52) - 1, 0.0)] {
            assert_eq!(real_from_bits(bits).to_bits(), zero.to_bits(), "{bits:x}");
        }
    }
}
