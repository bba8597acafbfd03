//! Broker's bytes, written and read a second time: what stock peers send and how strictly they read
//! does not depend on the codec that is under test (WIRE §2 to §5).

use broker_proto::{Address, Data, EndpointId, Port, Protocol, Subnet, Timespan, Timestamp};

/// Appends a value, tag included (WIRE §3.5).
pub fn put_value(out: &mut Vec<u8>, value: &Data) {
    match value {
        Data::None => out.push(0),
        Data::Boolean(flag) => out.extend([1, u8::from(*flag)]),
        Data::Count(number) => tagged(out, 2, &number.to_be_bytes()),
        Data::Integer(number) => tagged(out, 3, &number.to_be_bytes()),
        Data::Real(number) => tagged(out, 4, &number.to_be_bytes()),
        Data::String(text) => {
            out.push(5);
            put_text(out, text.as_bytes());
        }
        Data::Address(address) => tagged(out, 6, &mapped(*address)),
        Data::Subnet(subnet) => {
            tagged(out, 7, &mapped(subnet.network()));
            out.push(subnet.length());
        }
        Data::Port(port) => {
            tagged(out, 8, &port.number.to_be_bytes());
            out.push(match port.protocol {
                Protocol::Unknown => 0,
                Protocol::Tcp => 1,
                Protocol::Udp => 2,
                Protocol::Icmp => 3,
            });
        }
        Data::Timestamp(time) => tagged(out, 9, &time.0.to_be_bytes()),
        Data::Timespan(time) => tagged(out, 10, &time.0.to_be_bytes()),
        Data::Enum(name) => {
            out.push(11);
            put_text(out, name.as_bytes());
        }
        Data::Set(items) => put_all(out, 12, items.iter()),
        Data::Table(entries) => {
            out.push(13);
            put_size(out, entries.len());
            for (key, value) in entries {
                put_value(out, key);
                put_value(out, value);
            }
        }
        Data::Vector(items) => put_all(out, 14, items.iter()),
    }
}

/// A frame around its payload (WIRE §2).
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    [&size.to_be_bytes(), payload].concat()
}

/// A list of topics (WIRE §4.1).
pub fn put_filter(out: &mut Vec<u8>, filter: &[String]) {
    put_size(out, filter.len());
    for topic in filter {
        put_text(out, topic.as_bytes());
    }
}

/// One envelope (WIRE §5.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    pub sender: [u8; 16],
    pub receiver: [u8; 16],
    pub kind: u8,
    pub ttl: u16,
    pub topic: String,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 1;
pub const COMMAND: u8 = 2;
pub const ROUTING_UPDATE: u8 = 3;
pub const PING: u8 = 4;
pub const PONG: u8 = 5;

/// The topic of what endpoints say to each other (WIRE §6.9).
pub const INTERNAL: &str = "<$>";

impl Envelope {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = [self.sender, self.receiver].concat();
        out.push(self.kind);
        out.extend(self.ttl.to_be_bytes());
        out.extend(u16::try_from(self.topic.len()).unwrap().to_be_bytes());
        out.extend(self.topic.as_bytes());
        out.extend(&self.payload);
        out
    }

    /// What is wrong with the header, if it does not read (WIRE §5.5).
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = Reader(bytes);
        let sender = rest.array()?;
        let receiver = rest.array()?;
        let [kind] = rest.array()?;
        let ttl = u16::from_be_bytes(rest.array()?);
        let len = u16::from_be_bytes(rest.array()?);
        let topic = rest.take(usize::from(len))?;
        if !(DATA..=PONG).contains(&kind) {
            return Err(format!("unknown type {kind}"));
        }
        Ok(Self {
            sender,
            receiver,
            kind,
            ttl,
            topic: String::from_utf8(topic.to_vec()).map_err(|error| error.to_string())?,
            payload: rest.0.to_vec(),
        })
    }
}

/// What is left to read.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("truncated")?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().unwrap())
    }

    fn size(&mut self) -> Result<usize, String> {
        let mut size = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            size |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(size);
            }
        }
        Err("size of more than five bytes".to_owned())
    }

    pub fn text(&mut self) -> Result<&'a [u8], String> {
        let size = self.size()?;
        self.take(size)
    }

    /// A list of topics.
    pub fn filter(&mut self) -> Result<Vec<String>, String> {
        let size = self.size()?;
        let topics = (0..size).map(|_| {
            let topic = self.text()?.to_vec();
            String::from_utf8(topic).map_err(|error| error.to_string())
        });
        topics.collect()
    }

    /// A value, with the number of elements that its sets repeat (WIRE §3.8).
    pub fn value(&mut self, repeated: &mut usize) -> Result<Data, String> {
        let [tag] = self.array()?;
        Ok(match tag {
            0 => Data::None,
            1 => Data::Boolean(self.array::<1>()? != [0]),
            2 => Data::Count(u64::from_be_bytes(self.array()?)),
            3 => Data::Integer(i64::from_be_bytes(self.array()?)),
            4 => Data::Real(f64::from_be_bytes(self.array()?)),
            5 => Data::string(self.text()?),
            6 => Data::Address(self.address()?),
            7 => {
                let network = self.address()?;
                let [length] = self.array()?;
                Data::Subnet(Subnet::new(network, length).map_err(|error| error.to_string())?)
            }
            8 => {
                let number = u16::from_be_bytes(self.array()?);
                let [protocol] = self.array()?;
                let protocol = Protocol::from_code(protocol).ok_or("unknown protocol")?;
                Data::Port(Port { number, protocol })
            }
            9 => Data::Timestamp(Timestamp(i64::from_be_bytes(self.array()?))),
            10 => Data::Timespan(Timespan(i64::from_be_bytes(self.array()?))),
            11 => Data::enum_value(self.text()?),
            12 => {
                let items = self.values(repeated)?;
                let size = items.len();
                let set: broker_proto::data::Set = items.into_iter().collect();
                *repeated += size - set.len();
                Data::Set(set)
            }
            13 => {
                let size = self.size()?;
                let entries = (0..size).map(|_| Ok((self.value(repeated)?, self.value(repeated)?)));
                let entries = entries.collect::<Result<Vec<_>, String>>()?;
                let table: broker_proto::data::Table = entries.into_iter().collect();
                if table.len() != size {
                    return Err("repeated keys".to_owned());
                }
                Data::Table(table)
            }
            14 => Data::Vector(self.values(repeated)?),
            other => return Err(format!("unknown tag {other}")),
        })
    }

    fn values(&mut self, repeated: &mut usize) -> Result<Vec<Data>, String> {
        let size = self.size()?;
        (0..size).map(|_| self.value(repeated)).collect()
    }

    fn address(&mut self) -> Result<Address, String> {
        let bytes: [u8; 16] = self.array()?;
        let address = std::net::Ipv6Addr::from(bytes);
        let ip = address.to_ipv4_mapped();
        Ok(ip.map_or_else(
            || std::net::IpAddr::from(address).into(),
            |ip| std::net::IpAddr::from(ip).into(),
        ))
    }
}

/// The sixteen bytes of an id in its text form.
pub fn id_bytes(id: EndpointId) -> [u8; 16] {
    let digits = id.to_string().replace('-', "");
    u128::from_str_radix(&digits, 16).unwrap().to_be_bytes()
}

fn mapped(address: Address) -> [u8; 16] {
    match address.to_ip() {
        std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(ip) => ip.octets(),
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend(bytes);
}

fn put_all<'a>(out: &mut Vec<u8>, tag: u8, items: impl ExactSizeIterator<Item = &'a Data>) {
    out.push(tag);
    put_size(out, items.len());
    items.for_each(|item| put_value(out, item));
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_size(out, text.len());
    out.extend(text);
}

/// WIRE §3.2.
fn put_size(out: &mut Vec<u8>, size: usize) {
    let mut rest = size;
    while rest >= 0x80 {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
}
