use super::*;

const LONGEST: Longest = Longest {
    message: 200,
    skipped: 1_000_000,
};

#[test]
fn frames_pass_as_they_are_however_they_are_chopped() {
    let text = frame(0x81, 0x85, b"hello");
    let ping = frame(0x89, 0x82, b"hm");
    let long = [&[0x82, 0xfe, 0, 200][..], &[9; 4], &[b'y'; 200]].concat();
    let close = frame(0x88, 0x82, b"\x03\xe8");
    let sent = [text, ping, long, close].concat();
    for piece in [1, 2, 3, 7, 64, sent.len()] {
        let mut sieve = begun(LONGEST);
        assert_eq!(sifted(&mut sieve, &sent, piece), sent, "{piece}");
        assert_eq!(sieve.cut(1), None);
    }
}

#[test]
fn a_message_that_is_too_long_is_cut_to_its_start_and_the_next_one_passes() {
    let longest = Longest {
        message: 65_536,
        ..LONGEST
    };
    let payload: Vec<u8> = (0..=255_u8).cycle().take(65_537).collect();
    let header = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4];
    let next = frame(0x81, 0x82, b"ok");
    let sent = [&header[..], &payload, &next].concat();
    let left = [&[0x82, 0xfe, 4, 0, 1, 2, 3, 4][..], &payload[..1024], &next].concat();
    for piece in [1, 13, 1000, sent.len()] {
        let mut sieve = begun(longest);
        assert_eq!(sifted(&mut sieve, &sent, piece), left, "{piece}");
        assert_eq!(sieve.cut(0), None);
        assert_eq!(sieve.cut(1), cut(1, 65_537, Verdict::GoesOn));
        assert_eq!(sieve.cut(2), None);
    }
}

#[test]
fn a_message_is_cut_as_soon_as_its_length_is_known() {
    let mut sieve = begun(LONGEST);
    let gigabyte = [0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0, 0, 1, 2, 3, 4];
    let left = sifted(&mut sieve, &gigabyte, 14);
    // The start may be no longer than a message.
    assert_eq!(left, [0x82, 0xfe, 0, 200, 1, 2, 3, 4]);
    assert_eq!(sieve.cut(1), cut(1, 0x0f_0000, Verdict::GoesOn));
    let mut left = Vec::new();
    for _ in 0..240 {
        sieve.sift(&[0; 4096], &mut left);
    }
    assert_eq!(left, [0; 200]);
    assert_eq!(sifted(&mut sieve, &[0x81, 0x80, 0, 0, 0, 0], 6).len(), 6);
}

#[test]
fn a_message_in_parts_is_cut_at_the_part_that_makes_it_too_long() {
    let mut sieve = begun(LONGEST);
    let first = frame_of(0x01, 126);
    let ping = frame(0x89, 0x80, b"");
    let too_long = frame_of(0x00, 75);
    let more = frame_of(0x00, 100);
    let last = frame_of(0x80, 100);
    let next = frame(0x81, 0x82, b"ok");
    let sent = [&first, &ping, &too_long, &more, &ping, &last, &next].map(|f| f.as_slice());
    // A text that ends anywhere may be no text.
    let mut begun = first.clone();
    begun[0] = 0x02;
    let ended = [0x80, 0x80, 7, 7, 7, 7];
    let left = [&begun[..], &ping, &ended, &ping, &next];
    assert_eq!(sifted(&mut sieve, &sent.concat(), 11), left.concat());
    assert_eq!(sieve.cut(1), cut(1, 201, Verdict::GoesOn));
    assert_eq!(sieve.cut(2), None);
}

/// Only the start of a text might end within a character.
#[test]
fn a_message_in_parts_that_is_no_text_passes_as_it_is() {
    let parts = [frame(0x02, 0x82, b"\xff\xfe"), frame(0x80, 0x81, b"\xfd")].concat();
    let mut sieve = begun(LONGEST);
    assert_eq!(sifted(&mut sieve, &parts, parts.len()), parts);
    assert_eq!(sieve.cut(1), None);
}

#[test]
fn the_first_message_has_to_fit() {
    let mut sieve = Sieve::new(LONGEST);
    let sent = [
        frame_of(0x81, 201),
        frame_of(0x81, 201),
        frame(0x81, 0x81, b"x"),
    ];
    let ping = frame(0x89, 0x80, b"");
    let left = sifted(&mut sieve, &[&sent.concat()[..], &ping].concat(), 50);
    assert_eq!(left, [&[0x82, 0x80, 7, 7, 7, 7][..], &ping].concat());
    assert_eq!(sieve.cut(0), cut(0, 201, Verdict::Ends));
    assert_eq!(sieve.cut(1), None);
}

#[test]
fn what_may_be_skipped_in_all_is_bounded_and_then_nothing_passes_but_control_frames() {
    let longest = Longest {
        message: 200,
        skipped: 1000,
    };
    let mut sieve = begun(longest);
    let sent = [
        frame_of(0x82, 500),
        frame_of(0x81, 500),
        frame_of(0x81, 201),
    ]
    .concat();
    sifted(&mut sieve, &sent, 64);
    let cuts = [1, 2, 3].map(|message| sieve.cut(message));
    let verdicts = cuts.map(|cut| cut.unwrap().verdict);
    let expected = [Verdict::GoesOn, Verdict::GoesOn, Verdict::Ends];
    assert_eq!(verdicts, expected);
    let goodbye = frame(0x88, 0x82, b"\x03\xf1");
    let sent = [frame_of(0x81, 5), frame_of(0x01, 5), goodbye.clone()].concat();
    assert_eq!(sifted(&mut sieve, &sent, 3), goodbye);
}

#[test]
fn a_message_that_never_ends_uses_up_what_may_be_skipped() {
    let longest = Longest {
        message: 200,
        skipped: 1000,
    };
    let mut sieve = begun(longest);
    let mut left = sifted(&mut sieve, &frame_of(0x01, 150), 9);
    for _ in 0..100 {
        left.extend(sifted(&mut sieve, &frame_of(0x00, 100), 9));
    }
    // Header, first part, its end; then a message without bytes, so that somebody looks.
    let ends = [&[0x80, 0x80, 7, 7, 7, 7][..], &[0x82, 0x80, 0, 0, 0, 0]].concat();
    assert_eq!(left[8 + 150..], ends);
    assert_eq!(sieve.cut(1), cut(1, 250, Verdict::GoesOn));
    assert_eq!(sieve.cut(2), cut(2, 1250, Verdict::Ends));
}

#[test]
fn what_is_no_frame_of_a_client_is_left_to_who_refuses_it() {
    for wrong in [
        &[0x81, 5, 1, 2, 3, 4][..],
        &[0xc1, 0x81, 0, 0, 0, 0, 1],
        &[0x83, 0x81, 0, 0, 0, 0, 1],
        &[0x80, 0x81, 0, 0, 0, 0, 1],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x89, 0xfe, 0, 126, 0, 0, 0, 0],
    ] {
        let mut sieve = begun(LONGEST);
        let sent = [wrong, &frame_of(0x81, 300)].concat();
        assert_eq!(sifted(&mut sieve, &sent, 5), sent, "{wrong:x?}");
        assert_eq!(sieve.cut(1), None);
    }
    let mut sieve = begun(LONGEST);
    let in_between = [frame_of(0x01, 150), frame_of(0x81, 300)].concat();
    let left = sifted(&mut sieve, &in_between, 5);
    assert_eq!(left[1..], in_between[1..]);
}

#[test]
fn long_payloads_are_counted_without_being_copied() {
    let mut sieve = begun(LONGEST);
    sifted(&mut sieve, &[0x82, 0xfe, 0, 200, 0, 0, 0, 0], 8);
    assert!(sieve.passes(150));
    assert!(!sieve.passes(51));
    assert!(sieve.passes(50));
    assert!(!sieve.passes(1));
}

/// One that has seen a first message.
fn begun(longest: Longest) -> Sieve {
    let mut sieve = Sieve::new(longest);
    let first = frame(0x81, 0x82, b"[]");
    assert_eq!(sifted(&mut sieve, &first, 3), first);
    sieve
}

/// What is left of bytes that come in pieces; at no time more than came, and one header.
fn sifted(sieve: &mut Sieve, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut left = Vec::new();
    for bytes in bytes.chunks(piece) {
        let before = left.len();
        sieve.sift(bytes, &mut left);
        assert!(left.len() - before <= bytes.len() + 13 + EMPTY.len());
        assert!(sieve.header.len() < 14);
    }
    left
}

fn frame(first: u8, second: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, second, 7, 7, 7, 7][..], payload].concat()
}

/// With a length in two bytes, although a shorter one might do.
fn frame_of(first: u8, len: u16) -> Vec<u8> {
    let [high, low] = len.to_be_bytes();
    let header = [first, 0xfe, high, low, 7, 7, 7, 7];
    [&header[..], &vec![b'x'; usize::from(len)]].concat()
}

#[allow(clippy::unnecessary_wraps, reason = "as it is asked for")]
fn cut(message: u64, bytes: u64, verdict: Verdict) -> Option<Cut> {
    Some(Cut {
        message,
        bytes,
        verdict,
    })
}
