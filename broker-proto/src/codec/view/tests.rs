//! What a view shows, and what reading costs in memory.

use allocation_counter::measure;

use super::*;
use crate::codec::DecodeErrorKind;

#[test]
fn a_view_shows_what_is_there() {
    // {"k": [1/tcp, none]} and a set {false, true}, in a vector.
    let payload = [
        &[14, 2, 13, 1, 5, 1, b'k', 14, 2, 8, 0, 1, 1, 0][..],
        &[12, 2, 1, 0, 1, 1],
    ];
    let view = View::new(payload.concat().into(), &Limits::default()).unwrap();
    let Some(Value::Table(mut entries)) = view.value().field(0) else {
        panic!("{view:?}");
    };
    assert_eq!((entries.len(), entries.is_empty()), (1, false));
    let (key, value) = entries.next().unwrap();
    assert_eq!(key.as_str(), Some("k"));
    assert_eq!(value.field(0), Some(Value::Port(Port::tcp(1))));
    assert_eq!(value.field(1), Some(Value::None));
    assert_eq!((value.field(2), key.field(0)), (None, None));
    assert_eq!(value.as_str(), None);
    assert_eq!(entries.next(), None);
    let Some(Value::Set(items)) = view.value().field(1) else {
        panic!("{view:?}");
    };
    assert_eq!(items.size_hint(), (2, Some(2)));
    let bools = [false, true].map(Value::Boolean);
    assert_eq!(items.collect::<Vec<_>>(), bools);
}

#[test]
fn elements_are_found_whatever_was_looked_at_before() {
    // [[1, {2: [3]}], [], "x", [4]]
    let count = |n: u8| [2, 0, 0, 0, 0, 0, 0, 0, n];
    let payload = [
        &[14, 4, 14, 2][..],
        &count(1),
        &[13, 1],
        &count(2),
        &[14, 1],
        &count(3),
        &[14, 0, 5, 1, b'x', 14, 1],
        &count(4),
    ];
    let view = View::new(payload.concat().into(), &Limits::default()).unwrap();
    let Value::Vector(items) = view.value() else {
        panic!("{view:?}");
    };
    let all: Vec<Value<'_>> = items.collect();
    for taken in 0..4 {
        for n in 0..5 {
            let mut rest = items;
            assert_eq!(rest.by_ref().take(taken).count(), taken);
            assert_eq!(rest.get(n), all.get(taken + n).copied(), "{taken} {n}");
            assert_eq!(rest.len(), 4 - taken);
        }
    }
    assert_eq!(all[2], Value::String(b"x"));
    assert_eq!(all[3].field(0), Some(Value::Count(4)));
    assert!(matches!(all[1], Value::Vector(items) if items.is_empty()));
    let shown = "[Vector([Count(1), Table({Count(2): Vector([Count(3)])})]), Vector([]), ";
    assert!(format!("{items:?}").starts_with(shown), "{items:?}");
}

#[test]
fn values_come_in_the_order_on_the_wire() {
    // [{true: [none]}, {"s"}]
    let payload = [14, 2, 13, 1, 1, 1, 14, 1, 0, 12, 1, 5, 1, b's'];
    let view = View::new(payload.to_vec().into(), &Limits::default()).unwrap();
    let kinds: Vec<u8> = view.values().map(|value| value.to_data().tag()).collect();
    assert_eq!(kinds, [14, 13, 1, 14, 0, 12, 5]);
}

#[test]
fn equal_parts_are_equal_wherever_they_are() {
    // [[true], [true], [false], {true: none}, {true: none}]
    let payload = [
        &[14, 5, 14, 1, 1, 1, 14, 1, 1, 1, 14, 1, 1, 0][..],
        &[13, 1, 1, 1, 0, 13, 1, 1, 1, 0],
    ];
    let view = View::new(payload.concat().into(), &Limits::default()).unwrap();
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| view.value().field(n).unwrap());
    assert_eq!((a, d), (b, e));
    assert_ne!(a, c);
    // [[], [none], {}, {none: none}]
    let payload = [14, 4, 14, 0, 14, 1, 0, 13, 0, 13, 1, 0, 0];
    let view = View::new(payload.to_vec().into(), &Limits::default()).unwrap();
    let [none, one, empty, full] = [0, 1, 2, 3].map(|n| view.value().field(n).unwrap());
    assert_ne!(none, one);
    assert_ne!(empty, full);
}

#[test]
fn sets_may_come_in_any_order_but_not_with_equal_elements() {
    let limits = Limits::default();
    let unsorted = Bytes::from_static(&[12, 2, 1, 1, 1, 0]);
    let view = View::new(unsorted.clone(), &limits).unwrap();
    assert_eq!(Ok(view.to_data()), data::decode(&unsorted, &limits));
    // Both are true.
    let error = View::new(Bytes::from_static(&[12, 2, 1, 1, 1, 2]), &limits).unwrap_err();
    let kind = DecodeErrorKind::Duplicate;
    assert_eq!(error, DecodeError { offset: 4, kind });
}

#[test]
fn checking_and_walking_a_view_takes_no_memory() {
    let limits = Limits::default();
    for payload in [table(1000), records(1000), nested(90)] {
        let cost = measure(|| {
            data::check(&payload, &limits).unwrap();
            let view = View::new(payload.clone(), &limits).unwrap();
            assert!(walk(view.value()) > 0);
            assert!(view.values().count() > 0);
        });
        // Sharing `Bytes` for the first time may take one piece, whatever is in it.
        assert!(cost.count_total <= 1, "{cost:?}");
    }
}

#[test]
fn decoding_takes_one_piece_a_container_and_long_string() {
    let limits = Limits::default();
    let payload = table(1000);
    let cost = measure(|| drop(data::decode(&payload, &limits).unwrap()));
    assert!(cost.count_total <= 4, "{cost:?}");
}

/// Stated in the documentation of [`data::decode`].
const MOST_BYTES_PER_BYTE: u64 = 160;

#[test]
fn decoding_takes_a_bounded_multiple_of_the_input() {
    let limits = Limits::default();
    let claims = [14, 0xff, 0x3f].repeat(64);
    let many = |element: &[u8]| {
        let mut bytes = vec![14, 0x80, 0x40];
        bytes.extend(element.repeat(0x2000));
        bytes
    };
    let unsorted: Vec<u8> = (0..=255_u8).rev().flat_map(|n| [5, 1, n]).collect();
    let inputs = [
        many(&[0]),
        many(&[14, 0]),
        many(&[14, 1, 0]),
        many(&[12, 1, 0]),
        many(&[13, 1, 0, 0]),
        many(&[12, 2, 1, 1, 0]),
        many(&[13, 2, 1, 1, 0, 0, 0]),
        many(&[&[5, 23][..], &[b'x'; 23]].concat()),
        [&[12, 0x80, 2][..], &unsorted].concat(),
        [claims.as_slice(), &[0; 0x2000]].concat(),
        [claims.as_slice(), &[14, 1, 0].repeat(0x1000)].concat(),
    ];
    for input in inputs {
        let cost = measure(|| drop(data::decode(&input, &limits)));
        let bound = MOST_BYTES_PER_BYTE * u64::try_from(input.len()).unwrap();
        let start = &input[..8];
        assert!(
            cost.bytes_max <= bound,
            "{start:?}…: {cost:?} for {}",
            input.len()
        );
    }
}

fn walk(value: Value<'_>) -> usize {
    match value {
        Value::Set(items) | Value::Vector(items) => 1 + items.map(walk).sum::<usize>(),
        Value::Table(entries) => entries.map(|(key, value)| walk(key) + walk(value)).sum(),
        Value::String(text) | Value::Enum(text) => text.len(),
        Value::None
        | Value::Boolean(_)
        | Value::Count(_)
        | Value::Integer(_)
        | Value::Real(_)
        | Value::Address(_)
        | Value::Subnet(_)
        | Value::Port(_)
        | Value::Timestamp(_)
        | Value::Timespan(_) => 1,
    }
}

/// A table of short strings, below 16,384 of them.
fn table(count: u16) -> Bytes {
    let [_, low] = (count & 0x7f | 0x80).to_be_bytes();
    let [_, high] = (count >> 7).to_be_bytes();
    let mut bytes = vec![13, low, high];
    for n in 0..count {
        bytes.extend_from_slice(&[5, 5]);
        bytes.extend_from_slice(format!("{n:05}").as_bytes());
        bytes.extend_from_slice(&[5, 3, b'a', b'b', b'c']);
    }
    bytes.into()
}

/// A vector of as many records with a set each.
fn records(count: u16) -> Bytes {
    let mut bytes = table(count).to_vec();
    bytes.truncate(3);
    bytes[0] = 14;
    for _ in 0..count {
        bytes.extend_from_slice(&[14, 2, 8, 0, 80, 1, 12, 2, 1, 0, 1, 1]);
    }
    bytes.into()
}

fn nested(depth: usize) -> Bytes {
    let mut bytes = [14, 1].repeat(depth);
    bytes.push(0);
    bytes.into()
}
