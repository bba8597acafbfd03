//! Limits and refusals.

use allocation_counter::measure;

use super::*;
use crate::codec::DecodeErrorKind;
use crate::data::Subnet;

fn kind(bytes: &[u8], limits: &Limits) -> DecodeErrorKind {
    decode(bytes, limits).unwrap_err().kind
}

#[test]
fn nesting_ends_at_the_limit() {
    let limits = Limits {
        depth: 3,
        ..Limits::default()
    };
    assert!(decode(&[14, 1, 14, 1, 14, 1, 0], &limits).is_ok());
    assert_eq!(
        kind(&[14, 1, 14, 1, 14, 1, 14, 0], &limits),
        DecodeErrorKind::TooDeep
    );
}

#[test]
fn elements_are_counted_over_all_containers() {
    let limits = Limits {
        elements: 3,
        ..Limits::default()
    };
    assert!(decode(&[14, 2, 14, 1, 0, 0], &limits).is_ok());
    assert_eq!(
        kind(&[14, 2, 14, 1, 0, 14, 1, 0], &limits),
        DecodeErrorKind::TooMany
    );
}

#[test]
fn an_element_that_comes_again_out_of_order_is_refused() {
    // A set, and the keys of a table: 1, 2, 1.
    let item = |n: u8| [2, 0, 0, 0, 0, 0, 0, 0, n];
    let items = [1, 2, 1].map(item);
    let entries = items.map(|item| [&item[..], &[0]].concat());
    for bytes in [
        [&[12, 3][..], &items.concat()].concat(),
        [&[13, 3][..], &entries.concat()].concat(),
    ] {
        let kind = kind(&bytes, &Limits::default());
        assert_eq!(kind, DecodeErrorKind::Duplicate);
    }
}

#[test]
fn a_count_beyond_the_input_is_refused_before_allocating() {
    let error = decode(&[14, 0xff, 0xff, 0xff, 0xff, 0x0f], &Limits::default()).unwrap_err();
    let kind = DecodeErrorKind::SizeExceedsInput {
        announced: 0xffff_ffff,
        left: 0,
    };
    assert_eq!(error, DecodeError { offset: 1, kind });
    assert_eq!(
        error.to_string(),
        "announced size 4294967295 exceeds the 0 bytes left at byte 1"
    );
}

#[test]
fn subnets_out_of_range_are_refused_and_host_bits_masked() {
    let mut v4 = vec![
        7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 9, 77, 120,
    ];
    let want = Data::Subnet(Subnet::new("192.168.9.0".parse().unwrap(), 120).unwrap());
    assert_eq!(decode(&v4, &Limits::default()), Ok(want));
    v4[17] = 24;
    assert_eq!(
        kind(&v4, &Limits::default()),
        DecodeErrorKind::SubnetLength(24)
    );
}

#[test]
fn values_are_whole_wherever_the_writer_runs_out_of_room() {
    let long = vec![b'x'; 300];
    let tail = Data::Vector(vec![
        Data::string("twenty-two characters."),
        Data::Count(0x0102_0304_0506_0708),
        Data::Address("10.0.0.1".parse().unwrap()),
        Data::Subnet(Subnet::new("192.168.0.0".parse().unwrap(), 120).unwrap()),
        Data::Boolean(true),
        Data::string(long.as_slice()),
        Data::Set([Data::None].into()),
        Data::string("end"),
    ]);
    let tail_bytes = [
        &[14, 8][..],
        b"\x05\x16twenty-two characters.",
        &[2, 1, 2, 3, 4, 5, 6, 7, 8],
        &[6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        &[
            7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 0, 0, 120,
        ],
        &[1, 1],
        &[5, 0xac, 0x02],
        &long,
        &[12, 1, 0],
        b"\x05\x03end",
    ]
    .concat();
    for before in 0..2100_usize {
        let head = vec![b'h'; before];
        let [low, high] = [before & 0x7f, before >> 7].map(|part| u8::try_from(part).unwrap());
        let size = if high == 0 {
            vec![low]
        } else {
            vec![low | 0x80, high]
        };
        let value = Data::Vector(vec![Data::string(head.as_slice()), tail.clone()]);
        let bytes = [&[14, 2, 5][..], &size, &head, &tail_bytes].concat();
        assert_eq!(encode(&value), bytes, "after {before} bytes");
        let mut out = b"before".to_vec();
        encode_into(&value, &mut out);
        assert_eq!(out, [b"before", &bytes[..]].concat());
    }
}

#[test]
fn a_value_of_a_thousand_bytes_is_written_with_one_allocation() {
    let value = Data::string([b'x'; 1000].as_slice());
    let cost = measure(|| drop(encode(&value)));
    assert_eq!((cost.count_total, cost.bytes_total), (1, 1003));
}

#[test]
fn a_refused_value_leaves_no_memory_behind() {
    let long = [&[5, 30][..], &[b'x'; 30]].concat();
    let inner = [&[14, 2][..], &long, &long].concat();
    // Sets and tables in and out of order, in a vector, in a value of their own table.
    let payload = [
        &[13, 1, 5, 1, b'k', 14, 7][..],
        &[&[12, 2, 2][..], &[0; 8], &inner].concat(),
        &[&[12, 2][..], &inner, &long].concat(),
        &[&[13, 2][..], &long, &inner, &inner, &long].concat(),
        &[&[13, 2][..], &inner, &long, &long, &inner].concat(),
        &[&[12, 2][..], &inner, &inner].concat(),
        &inner,
        &[99],
    ];
    let payload = payload.concat();
    let limits = Limits::default();
    for end in 0..=payload.len() {
        let cost = measure(|| assert!(decode(&payload[..end], &limits).is_err()));
        assert_eq!((cost.count_current, cost.bytes_current), (0, 0), "{end}");
    }
}
