//! The values of a log record: Zeek's own serialization, not Broker's (WIRE §8.4).
//!
//! Fixed-width big-endian fields, a type code before each value, and plain IEEE 754 doubles.

use crate::data::{Address, ByteString, Port, Protocol, Subnet};

/// Sets and vectors in logs hold scalars; deeper nesting than this is nobody's.
const MAX_DEPTH: usize = 8;

/// The least that a value takes: type, subtype, and whether it is there.
const MIN_VALUE: usize = 9;

/// The values of one record, in the order of the writer's fields.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// One per field.
    pub values: Vec<LogValue>,
}

/// One value of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogValue {
    /// The type code, known or not: an unset field has one too.
    pub kind: i32,
    /// Written as 0 by stock; readers do not use it.
    pub subkind: i32,
    /// The value, unless the field is unset.
    pub body: Option<LogBody>,
}

/// What a value that is there holds.
#[derive(Clone, Debug, PartialEq)]
pub enum LogBody {
    /// A bool (code 1) or int (2).
    Integer(i64),
    /// A count (3).
    Count(u64),
    /// A double (4), or seconds of a time (5) or an interval (6).
    Double(f64),
    /// A string (7), enum name (9), function (17) or file (18).
    String(ByteString),
    /// A port (10).
    Port(Port),
    /// An address (11).
    Address(Address),
    /// A subnet (12).
    Subnet(Subnet),
    /// A set (14) or vector (19).
    Values(Vec<LogValue>),
}

/// Why bytes are no log record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{problem} at byte {offset} of a log record")]
pub struct LogRecordError {
    /// Distance from the first byte of the record.
    pub offset: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

impl LogRecord {
    /// Reads the last part of a log write.
    ///
    /// # Errors
    /// If the bytes are not exactly as many values as announced, or one has a type that does not
    /// occur in logs, an impossible address, subnet or port, or too deep nesting.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogRecordError> {
        let mut reader = Reader {
            rest: bytes,
            depth_left: MAX_DEPTH,
        };
        let values = reader.record();
        let offset = bytes.len() - reader.rest.len();
        let values = values.map_err(|problem| LogRecordError { offset, problem })?;
        Ok(Self { values })
    }

    /// The bytes, as stock writes them.
    pub fn encode(&self) -> ByteString {
        let mut out = Vec::new();
        let count = u32::try_from(self.values.len()).expect("a record has far fewer fields");
        out.extend_from_slice(&count.to_be_bytes());
        self.values.iter().for_each(|value| value.put(&mut out));
        ByteString::from(out)
    }
}

impl LogValue {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(&self.subkind.to_be_bytes());
        out.push(u8::from(self.body.is_some()));
        if let Some(body) = &self.body {
            body.put(out);
        }
    }
}

impl LogBody {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Count(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_bits().to_be_bytes()),
            Self::String(text) => {
                let len = u32::try_from(text.len()).expect("frames are far below 4 GiB");
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Port(port) => {
                out.extend_from_slice(&u64::from(port.number).to_be_bytes());
                out.extend_from_slice(&i32::from(port.protocol.code()).to_be_bytes());
            }
            Self::Address(address) => put_address(*address, out),
            Self::Subnet(subnet) => {
                out.push(subnet.length());
                put_address(subnet.network(), out);
            }
            Self::Values(values) => {
                let count = i64::try_from(values.len()).expect("memory is far below 2^63 values");
                out.extend_from_slice(&count.to_be_bytes());
                values.iter().for_each(|value| value.put(out));
            }
        }
    }
}

fn put_address(address: Address, out: &mut Vec<u8>) {
    match address.to_ip() {
        std::net::IpAddr::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        std::net::IpAddr::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth_left: usize,
}

type Read<T> = Result<T, &'static str>;

impl<'a> Reader<'a> {
    fn record(&mut self) -> Read<Vec<LogValue>> {
        let count = i32::from_be_bytes(self.octets()?);
        let values = self.values(i64::from(count))?;
        if self.rest.is_empty() {
            return Ok(values);
        }
        Err("bytes left over")
    }

    fn values(&mut self, count: i64) -> Read<Vec<LogValue>> {
        let count = usize::try_from(count).map_err(|_| "a negative count")?;
        if count > self.rest.len() / MIN_VALUE {
            return Err("a count beyond the input");
        }
        (0..count).map(|_| self.value()).collect()
    }

    fn value(&mut self) -> Read<LogValue> {
        let kind = i32::from_be_bytes(self.octets()?);
        let subkind = i32::from_be_bytes(self.octets()?);
        let body = match self.octets()? {
            [0] => None,
            [1] => Some(self.body(kind)?),
            _ => return Err("neither set nor unset"),
        };
        Ok(LogValue {
            kind,
            subkind,
            body,
        })
    }

    fn body(&mut self, kind: i32) -> Read<LogBody> {
        Ok(match kind {
            1 | 2 => LogBody::Integer(i64::from_be_bytes(self.octets()?)),
            3 => LogBody::Count(u64::from_be_bytes(self.octets()?)),
            4..=6 => LogBody::Double(f64::from_be_bytes(self.octets()?)),
            7 | 9 | 17 | 18 => LogBody::String(self.string()?),
            10 => LogBody::Port(self.port()?),
            11 => LogBody::Address(self.address()?),
            12 => {
                let [length] = self.octets()?;
                let network = self.address()?;
                let subnet = Subnet::new(network, length).map_err(|_| "a prefix length")?;
                if subnet.network() != network {
                    return Err("host bits in a subnet");
                }
                LogBody::Subnet(subnet)
            }
            14 | 19 => {
                let count = i64::from_be_bytes(self.octets()?);
                self.depth_left = self.depth_left.checked_sub(1).ok_or("deep nesting")?;
                let values = self.values(count)?;
                self.depth_left += 1;
                LogBody::Values(values)
            }
            _ => return Err("a type that no log has"),
        })
    }

    fn string(&mut self) -> Read<ByteString> {
        let len = u32::from_be_bytes(self.octets()?);
        let len = usize::try_from(len).map_err(|_| "a length beyond the input")?;
        let split = self.rest.split_at_checked(len);
        let (text, rest) = split.ok_or("a length beyond the input")?;
        self.rest = rest;
        Ok(ByteString::from(text))
    }

    fn port(&mut self) -> Read<Port> {
        let number = u64::from_be_bytes(self.octets()?);
        let number = u16::try_from(number).map_err(|_| "a port number")?;
        let code = i32::from_be_bytes(self.octets()?);
        let protocol = u8::try_from(code).ok().and_then(Protocol::from_code);
        let protocol = protocol.ok_or("a port protocol")?;
        Ok(Port { number, protocol })
    }

    fn address(&mut self) -> Read<Address> {
        match self.octets()? {
            [4] => Ok(Address::from(std::net::Ipv4Addr::from(self.octets::<4>()?))),
            [6] => {
                let address = Address::from_octets(self.octets()?);
                if address.is_v4() {
                    return Err("an IPv4 address in 16 bytes");
                }
                Ok(address)
            }
            _ => Err("an address family"),
        }
    }

    fn octets<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or("the end")?;
        self.rest = rest;
        Ok(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two fields of the example of WIRE §8.4.
    const EXAMPLE: [u8; 44] = [
        0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0x16, 1, 0x41, 0xd9, 0x54, 0xfc, 0x40, 0x20, 0, 0, 0, 0,
        0, 7, 0, 0, 0, 0x16, 1, 0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0, 0, 0,
    ];

    fn example() -> &'static [u8] {
        &EXAMPLE[..39]
    }

    fn problem(bytes: &[u8]) -> &'static str {
        LogRecord::decode(bytes).unwrap_err().problem
    }

    #[test]
    fn the_example_of_the_specification_reads_both_ways() {
        let value = |kind, body| LogValue {
            kind,
            subkind: 22,
            body: Some(body),
        };
        let values = vec![
            value(5, LogBody::Double(1_700_000_000.5)),
            value(7, LogBody::String("hello".into())),
        ];
        let record = LogRecord { values };
        assert_eq!(LogRecord::decode(example()), Ok(record.clone()));
        assert_eq!(record.encode().as_bytes(), example());
    }

    #[test]
    fn sets_addresses_subnets_and_ports_read_both_ways() {
        let hex: &[&[u8]] = &[
            &[0, 0, 0, 4],
            // A set of one address.
            &[0, 0, 0, 14, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 11, 0, 0, 0, 0, 1, 4, 10, 0, 0, 1],
            // 10.0.0.0/8, 443/tcp, and a count that is not set.
            &[0, 0, 0, 12, 0, 0, 0, 0, 1, 104, 4, 10, 0, 0, 0],
            &[
                0, 0, 0, 10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0xbb, 0, 0, 0, 1,
            ],
            &[0, 0, 0, 3, 0, 0, 0, 0, 0],
        ];
        let bytes = hex.concat();
        let record = LogRecord::decode(&bytes).unwrap();
        let bodies: Vec<_> = record.values.iter().map(|value| &value.body).collect();
        let [Some(LogBody::Values(set)), Some(subnet), Some(port), None] = bodies[..] else {
            panic!("{record:?}");
        };
        assert_eq!(
            set[0].body,
            Some(LogBody::Address("10.0.0.1".parse().unwrap()))
        );
        let ten = Subnet::new("10.0.0.0".parse().unwrap(), 104).unwrap();
        assert_eq!(*subnet, LogBody::Subnet(ten));
        assert_eq!(*port, LogBody::Port(Port::tcp(443)));
        assert_eq!(record.encode().as_bytes(), bytes);
    }

    #[test]
    fn broken_records_are_refused() {
        for end in 0..example().len() {
            assert!(
                LogRecord::decode(&example()[..end]).is_err(),
                "cut at {end}"
            );
        }
        assert_eq!(problem(&EXAMPLE), "bytes left over");
        assert_eq!(problem(&[0x7f, 0, 0, 0]), "a count beyond the input");
        assert_eq!(problem(&[0xff, 0, 0, 0]), "a negative count");
        let pattern = [0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 1];
        assert_eq!(problem(&pattern), "a type that no log has");
        let mapped = [
            &[0, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 0, 1, 6][..],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        ];
        assert_eq!(problem(&mapped.concat()), "an IPv4 address in 16 bytes");
        let mut deep = vec![0, 0, 0, 1];
        for _ in 0..10 {
            deep.extend_from_slice(&[0, 0, 0, 19, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
        deep.extend_from_slice(&[0; 9]);
        assert_eq!(problem(&deep), "deep nesting");
    }
}
