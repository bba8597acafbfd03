//! Values in the notation of WIRE §12, made without the codec under test.

use std::net::IpAddr;

use broker_proto::{Address, Data, Port, Protocol, Subnet, Timespan, Timestamp};
use serde_json::Value;

/// The value that `json` describes.
///
/// # Panics
/// If it describes none.
pub fn data(json: &Value) -> Data {
    match text(json, "type") {
        "none" => Data::None,
        "boolean" => Data::Boolean(json.get("value") == Some(&Value::Bool(true))),
        "count" => Data::Count(parse(text(json, "value"))),
        "integer" => Data::Integer(parse(text(json, "value"))),
        "real" => Data::Real(parse(text(json, "value"))),
        "string" => Data::string(bytes(json)),
        "enum" => Data::enum_value(bytes(json)),
        "address" => Data::Address(address(text(json, "value"))),
        "subnet" => Data::Subnet(subnet(text(json, "value"))),
        "port" => Data::Port(port(text(json, "value"))),
        "timestamp" => Data::Timestamp(Timestamp(parse(text(json, "ns")))),
        "timespan" => Data::Timespan(Timespan(parse(text(json, "ns")))),
        "set" => Data::Set(list(json, "elements").iter().map(data).collect()),
        "vector" => Data::Vector(list(json, "elements").iter().map(data).collect()),
        "table" => {
            let entries = list(json, "entries").iter();
            let entries =
                entries.map(|entry| (data(field(entry, "key")), data(field(entry, "value"))));
            Data::Table(entries.collect())
        }
        other => panic!("no value is of type {other}"),
    }
}

/// A member of an object.
///
/// # Panics
/// If there is none.
pub fn field<'a>(json: &'a Value, key: &str) -> &'a Value {
    json.get(key)
        .unwrap_or_else(|| panic!("no {key} in {json}"))
}

/// A member that is a text.
///
/// # Panics
/// If it is none.
pub fn text<'a>(json: &'a Value, key: &str) -> &'a str {
    let text = field(json, key).as_str();
    text.unwrap_or_else(|| panic!("{key} is not a text in {json}"))
}

/// A member that is a list.
///
/// # Panics
/// If it is none.
pub fn list<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    let list = field(json, key).as_array();
    list.unwrap_or_else(|| panic!("{key} is not a list in {json}"))
}

/// Decimal text as a number.
///
/// # Panics
/// If it is none.
pub fn parse<T: std::str::FromStr>(text: &str) -> T {
    let number = text.parse().ok();
    number.unwrap_or_else(|| panic!("{text} is not a number"))
}

/// Bytes from pairs of hexadecimal digits.
///
/// # Panics
/// If there is anything else.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    assert!(
        digits.len() == text.len() && text.len().is_multiple_of(2),
        "not hexadecimal: {text}"
    );
    let pairs = digits.chunks_exact(2);
    let bytes = pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit));
    bytes
        .map(|byte| u8::try_from(byte).expect("two digits are a byte"))
        .collect()
}

fn bytes(json: &Value) -> Vec<u8> {
    let value = json.get("value").and_then(Value::as_str);
    value.map_or_else(|| unhex(text(json, "hex")), |text| text.as_bytes().to_vec())
}

fn address(text: &str) -> Address {
    Address::from(parse::<IpAddr>(text))
}

fn subnet(text: &str) -> Subnet {
    let (network, length) = text.split_once('/').expect("a subnet has a length");
    let address = parse::<IpAddr>(network);
    let length: u8 = parse(length);
    let length = if address.is_ipv4() {
        length + 96
    } else {
        length
    };
    Subnet::new(Address::from(address), length).expect("the vectors hold possible subnets")
}

fn port(text: &str) -> Port {
    let (number, protocol) = text.split_once('/').expect("a port has a protocol");
    let protocol = match protocol {
        "unknown" => Protocol::Unknown,
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        other => panic!("no protocol is called {other}"),
    };
    Port {
        number: parse(number),
        protocol,
    }
}
