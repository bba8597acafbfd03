//! Who dials × whose id is smaller, byte by byte (WIRE §4.3), and every way to be refused.

use super::*;

const HELLO_LOW: &str = "00000017 06 5a45454b 00000000000040008000000000000000 01 01";
const HELLO_MIDDLE: &str = "00000017 06 5a45454b 80000000000040008000000000000001 01 01";
const HELLO_HIGH: &str = "00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 01 01";
const SELECT_LOW: &str = "00000016 08 5a45454b 00000000000040008000000000000000 01";
const SELECT_MIDDLE: &str = "00000016 08 5a45454b 80000000000040008000000000000001 01";
const SYN_TEST: &str = "00000008 0a 01 05 2f74657374";
const SYN_FOO: &str = "00000008 0a 01 05 2f666f6f62";
const SYN_ACK_TEST: &str = "00000008 0b 01 05 2f74657374";
const SYN_ACK_FOO: &str = "00000008 0b 01 05 2f666f6f62";
const ACK: &str = "00000001 0c";
/// drop_conn 39 "redundant connection" of LOW and of MIDDLE (WIRE §4.1).
const REDUNDANT_LOW: &str = "0000002b 09 5a45454b 00000000000040008000000000000000 27 \
                             14 726564756e64616e7420636f6e6e656374696f6e";
const REDUNDANT_MIDDLE: &str = "0000002b 09 5a45454b 80000000000040008000000000000001 27 \
                                14 726564756e64616e7420636f6e6e656374696f6e";

/// The link we dial, and one that the peer opens.
const OURS: LinkId = LinkId::Dialed(0);
const THEIRS: LinkId = LinkId::Accepted(0);

#[test]
fn we_dial_with_the_smaller_id() {
    let mut me = dials(MIDDLE);
    me.expects(&[(OURS, HELLO_MIDDLE)]);
    me.gets(OURS, &[PROBE]);
    me.expects(&[]);
    me.gets(OURS, &[HELLO_HIGH]);
    me.expects(&[(OURS, SELECT_MIDDLE), (OURS, SYN_TEST)]);
    me.gets(OURS, &[SYN_ACK_FOO]);
    me.is_up(&[(OURS, ACK)], HIGH, Some(addr()));
}

#[test]
fn we_dial_with_the_larger_id() {
    let mut me = dials(MIDDLE);
    me.expects(&[(OURS, HELLO_MIDDLE)]);
    me.gets(OURS, &[PROBE, SELECT_LOW]);
    me.expects(&[]);
    me.gets(OURS, &[SYN_FOO]);
    me.expects(&[(OURS, SYN_ACK_TEST)]);
    me.gets(OURS, &[ACK]);
    me.is_up(&[], LOW, Some(addr()));
}

#[test]
fn we_dial_with_the_larger_id_and_the_peer_says_hello_first() {
    // An acceptor with the smaller id may say hello before it originates (WIRE §4.2).
    let mut me = dials(MIDDLE);
    me.expects(&[(OURS, HELLO_MIDDLE)]);
    me.gets(OURS, &[HELLO_LOW]);
    me.expects(&[(OURS, HELLO_MIDDLE)]);
    me.gets(OURS, &[SELECT_LOW, SYN_FOO]);
    me.expects(&[(OURS, SYN_ACK_TEST)]);
    me.gets(OURS, &[ACK]);
    me.is_up(&[], LOW, Some(addr()));
}

#[test]
fn they_dial_and_we_have_the_smaller_id() {
    let mut me = listens(MIDDLE);
    me.opened(THEIRS);
    me.expects(&[(THEIRS, PROBE)]);
    me.gets(THEIRS, &[HELLO_HIGH]);
    me.expects(&[(THEIRS, SELECT_MIDDLE), (THEIRS, SYN_TEST)]);
    me.gets(THEIRS, &[SYN_ACK_FOO]);
    me.is_up(&[(THEIRS, ACK)], HIGH, None);
}

#[test]
fn they_dial_and_we_have_the_larger_id() {
    let mut me = listens(MIDDLE);
    me.opened(THEIRS);
    me.expects(&[(THEIRS, PROBE)]);
    me.gets(THEIRS, &[HELLO_LOW]);
    me.expects(&[(THEIRS, HELLO_MIDDLE)]);
    me.gets(THEIRS, &[PROBE, SELECT_LOW, SYN_FOO]);
    me.expects(&[(THEIRS, SYN_ACK_TEST)]);
    me.gets(THEIRS, &[ACK]);
    me.is_up(&[], LOW, None);
}

#[test]
fn both_dial_at_once_and_we_have_the_smaller_id() {
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.expects(&[(OURS, HELLO_MIDDLE), (THEIRS, PROBE)]);
    me.gets(OURS, &[PROBE, HELLO_HIGH]);
    me.expects(&[(OURS, SELECT_MIDDLE), (OURS, SYN_TEST)]);
    me.gets(THEIRS, &[HELLO_HIGH]);
    me.expects(&[]);
    me.gets(OURS, &[SYN_ACK_FOO]);
    let out = [
        send(OURS, ACK),
        send(THEIRS, REDUNDANT_MIDDLE),
        Output::Close { link: THEIRS },
        up(HIGH, Some(addr())),
    ];
    assert_eq!(me.0.drain(), out);
}

#[test]
fn both_dial_at_once_and_we_have_the_smaller_id_but_their_link_is_faster() {
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.expects(&[(OURS, HELLO_MIDDLE), (THEIRS, PROBE)]);
    me.gets(THEIRS, &[HELLO_HIGH]);
    me.expects(&[(THEIRS, SELECT_MIDDLE), (THEIRS, SYN_TEST)]);
    me.gets(OURS, &[PROBE, HELLO_HIGH]);
    me.expects(&[]);
    me.gets(THEIRS, &[SYN_ACK_FOO]);
    let out = [
        send(THEIRS, ACK),
        send(OURS, REDUNDANT_MIDDLE),
        Output::Close { link: OURS },
        up(HIGH, Some(addr())),
    ];
    assert_eq!(me.0.drain(), out, "a redundant dial is no failure");
    let peers: Vec<_> = me.0.endpoint.peers().collect();
    assert_eq!(
        peers[0].1.dialed,
        Some(addr()),
        "their link serves our address"
    );
}

#[test]
fn both_dial_at_once_and_we_have_the_larger_id() {
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.expects(&[(OURS, HELLO_MIDDLE), (THEIRS, PROBE)]);
    me.gets(THEIRS, &[HELLO_LOW]);
    me.expects(&[(THEIRS, HELLO_MIDDLE)]);
    me.gets(THEIRS, &[SELECT_LOW, SYN_FOO]);
    me.expects(&[(THEIRS, SYN_ACK_TEST)]);
    me.gets(THEIRS, &[ACK]);
    me.is_up(&[], LOW, None);
    me.gets(OURS, &[PROBE, REDUNDANT_LOW]);
    assert_eq!(
        me.0.drain(),
        [Output::Close { link: OURS }],
        "nothing is sent back"
    );
    me.closed(OURS);
    assert_eq!((me.0.drain(), me.0.endpoint.poll_timeout()), (vec![], None));
}

#[test]
fn both_dial_at_once_and_we_have_the_larger_id_but_our_link_is_faster() {
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.expects(&[(OURS, HELLO_MIDDLE), (THEIRS, PROBE)]);
    me.gets(OURS, &[PROBE, SELECT_LOW, SYN_FOO]);
    me.expects(&[(OURS, SYN_ACK_TEST)]);
    me.gets(THEIRS, &[HELLO_LOW]);
    me.expects(&[(THEIRS, HELLO_MIDDLE)]);
    me.gets(OURS, &[ACK]);
    me.is_up(&[], LOW, Some(addr()));
    me.gets(THEIRS, &[REDUNDANT_LOW]);
    assert_eq!(me.0.drain(), [Output::Close { link: THEIRS }]);
}

#[test]
fn a_second_version_select_for_a_known_peer_is_refused_with_40() {
    // drop_conn 40 "detected redundant connection at the responder".
    let refusal = "00000045 09 5a45454b 80000000000040008000000000000001 28 2e \
                   646574656374656420726564756e64616e7420636f6e6e656374696f6e20\
                   61742074686520726573706f6e646572";
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.gets(THEIRS, &[HELLO_LOW, SELECT_LOW]);
    me.0.drain();
    me.gets(OURS, &[SELECT_LOW]);
    let reason = "detected redundant connection at the responder".to_owned();
    let (addr, link) = (addr(), OURS);
    let failed = Output::PeerUnreachable { addr, reason };
    assert_eq!(
        me.0.drain(),
        [send(OURS, refusal), Output::Close { link }, failed]
    );
    let again = me.0.now + Duration::from_secs(1);
    me.closed(OURS);
    me.0.timeout_at(again);
    assert!(
        matches!(me.0.drain().as_slice(), [Output::Dial { .. }]),
        "try again later"
    );
}

#[test]
fn links_on_hold_are_refused_with_40_if_the_handshake_they_wait_for_fails() {
    // drop_conn 40 "the handshake it waited for failed".
    let refusal = "00000039 09 5a45454b 80000000000040008000000000000001 28 22 \
                   7468652068616e647368616b652069742077616974656420666f72206661696c6564";
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.gets(OURS, &[HELLO_HIGH]);
    me.gets(THEIRS, &[HELLO_HIGH]);
    me.0.drain();
    me.closed(OURS);
    let (addr, reason) = (addr(), "closed".to_owned());
    let failed = Output::PeerUnreachable { addr, reason };
    let close = Output::Close { link: THEIRS };
    assert_eq!(me.0.drain(), [send(THEIRS, refusal), close, failed]);
}

#[test]
fn while_shutting_down_strangers_are_told_so() {
    // drop_conn 28 "shutting down".
    let refusal = "00000024 09 5a45454b 80000000000040008000000000000001 1c 0d \
                   7368757474696e6720646f776e";
    let mut me = dials(MIDDLE);
    me.opened(THEIRS);
    me.0.drain();
    me.0.handle(Input::Shutdown);
    let close = |link| Output::Close { link };
    let told = |link| [send(link, refusal), close(link)];
    assert_eq!(me.0.drain(), [told(OURS), told(THEIRS)].concat());
    let late = LinkId::Accepted(1);
    me.opened(late);
    assert_eq!(me.0.drain(), told(late));
    me.closed(OURS);
    me.closed(THEIRS);
    assert_eq!(me.0.drain(), []);
    me.closed(late);
    assert_eq!(me.0.drain(), [Output::Stopped]);
    assert_eq!(me.0.endpoint.counters().refused.shutting_down, 3);
}

#[test]
fn a_handshake_too_far_for_drop_conn_just_ends_on_shutdown() {
    let mut me = listens(MIDDLE);
    me.opened(THEIRS);
    me.gets(THEIRS, &[HELLO_HIGH]);
    me.0.drain();
    me.0.handle(Input::Shutdown);
    assert_eq!(me.0.drain(), [Output::Close { link: THEIRS }]);
}

#[test]
fn every_failed_check_is_answered_with_its_code_and_text() {
    // WIRE §4.1, the table of failed checks, and §4.2 on ids. Code, length and text follow our id.
    let cases = [
        ("00000001 01", 20, "invalid message type tag"),
        ("00000001 0d", 20, "invalid message type tag"),
        ("00000002 06 5a", 20, "failed to parse hello_msg"),
        ("00000005 07 4b45455a", 38, "wrong magic number"),
        ("00000004 07 5a4545", 20, "failed to parse probe_msg"),
        ("00000002 08 5a", 20, "failed to parse version_select_msg"),
        ("00000002 09 5a", 20, "failed to parse drop_conn_msg"),
        ("00000001 0a", 20, "failed to parse originator_syn_msg"),
        ("00000001 0b", 20, "failed to parse responder_syn_ack_msg"),
        (
            "00000017 06 4b45455a ffffffffffff4fffbfffffffffffffff 01 01",
            38,
            "wrong magic number",
        ),
        (
            "00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 02 03",
            2,
            "unsupported versions offered",
        ),
        (
            "00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 00 00",
            2,
            "unsupported versions offered",
        ),
        (
            "00000016 08 5a45454b 00000000000040008000000000000000 02",
            2,
            "unsupported version selected",
        ),
        (
            "0000001a 09 5a45454b 00000000000040008000000000000000 2a 03 6f6464",
            1,
            "odd",
        ),
        (
            "00000017 06 5a45454b 00000000000000000000000000000000 01 01",
            3,
            "peer has endpoint id 00000000-0000-0000-0000-000000000000, which is nil or our own",
        ),
        (
            HELLO_MIDDLE,
            3,
            "peer has endpoint id 80000000-0000-4000-8000-000000000001, which is nil or our own",
        ),
        (
            "00000016 08 5a45454b 00000000000000000000000000000000 01",
            3,
            "peer has endpoint id 00000000-0000-0000-0000-000000000000, which is nil or our own",
        ),
        (
            SELECT_MIDDLE,
            3,
            "peer has endpoint id 80000000-0000-4000-8000-000000000001, which is nil or our own",
        ),
        (
            "00000016 08 5a45454b ffffffffffff4fffbfffffffffffffff 01",
            3,
            "ffffffff-ffff-4fff-bfff-ffffffffffff originates although its id is the larger one",
        ),
    ];
    for (opening, code, text) in cases {
        let mut me = dials(MIDDLE);
        me.0.drain();
        me.gets(OURS, &[opening]);
        let out = me.0.drain();
        let [Output::Send { bytes, .. }, Output::Close { .. }, _] = out.as_slice() else {
            panic!("{opening}: {out:?}");
        };
        let size = u32::try_from(23 + text.len()).unwrap().to_be_bytes();
        let head = hex("09 5a45454b 80000000000040008000000000000001");
        let len = [code, u8::try_from(text.len()).unwrap()];
        let expected = [&size, &head[..], &len, text.as_bytes()].concat();
        assert_eq!(*bytes, expected, "{opening}");
    }
}

#[test]
fn what_has_no_place_in_a_state_closes_without_a_word() {
    // WIRE §4.2, the last row: a dialer's states and the messages that they do not list.
    let after_hello = [HELLO_LOW];
    let after_select = [HELLO_LOW, SELECT_LOW];
    let after_syn = [HELLO_LOW, SELECT_LOW, SYN_FOO];
    let as_originator = [HELLO_HIGH];
    let cases: [(&[&str], &[&str]); 5] = [
        (&[], &[SYN_FOO, SYN_ACK_FOO, ACK, "00000000"]),
        (&after_hello, &[HELLO_LOW, SYN_FOO, SYN_ACK_FOO, ACK]),
        (
            &after_select,
            &[
                HELLO_LOW,
                PROBE,
                SELECT_LOW,
                SYN_ACK_FOO,
                ACK,
                REDUNDANT_LOW,
            ],
        ),
        (
            &after_syn,
            &[
                HELLO_LOW,
                PROBE,
                SELECT_LOW,
                SYN_FOO,
                SYN_ACK_FOO,
                REDUNDANT_LOW,
            ],
        ),
        (
            &as_originator,
            &[HELLO_HIGH, PROBE, SELECT_LOW, SYN_FOO, ACK, REDUNDANT_LOW],
        ),
    ];
    for (before, unexpected) in cases {
        for msg in unexpected {
            let mut me = dials(MIDDLE);
            me.gets(OURS, before);
            me.0.drain();
            me.gets(OURS, &[msg]);
            let out = me.0.drain();
            let [Output::Close { .. }, Output::PeerUnreachable { .. }] = out.as_slice() else {
                panic!("{msg} after {before:?}: {out:?}");
            };
            let refused = me.0.endpoint.counters().refused;
            assert_eq!(
                refused.out_of_order + refused.malformed,
                1,
                "{msg} after {before:?}"
            );
        }
    }
}

#[test]
fn an_acceptor_takes_no_version_select_before_a_hello() {
    let mut me = listens(MIDDLE);
    me.opened(THEIRS);
    me.0.drain();
    me.gets(THEIRS, &[SELECT_LOW]);
    assert_eq!(me.0.drain(), [Output::Close { link: THEIRS }]);
}

#[test]
fn a_refused_dial_is_tried_again_whatever_the_code() {
    // WIRE §4.5: anything but 39 of a peer that is known is a failure, and nothing is sent back.
    for code in [0_u8, 2, 3, 20, 28, 38, 39, 40, 41] {
        let mut me = dials(MIDDLE);
        me.0.drain();
        let drop = format!("00000018 09 5a45454b {} {code:02x} 01 78", hex_of(&LOW));
        me.gets(OURS, &[&drop]);
        let reason = format!("peer dropped the connection: x (code {code})");
        let (addr, link) = (addr(), OURS);
        let failed = Output::PeerUnreachable { addr, reason };
        assert_eq!(me.0.drain(), [Output::Close { link }, failed]);
        let again = me.0.now + Duration::from_secs(1);
        assert_eq!(me.0.endpoint.poll_timeout(), Some(again));
        assert_eq!(me.0.endpoint.counters().refused.by_peer, 1);
    }
}

/// An endpoint that wants "/test".
struct Me(Rig);

impl Me {
    fn opened(&mut self, link: LinkId) {
        let remote = remote();
        self.0.handle(Input::Opened {
            link,
            remote,
            certificate: None,
        });
    }

    fn closed(&mut self, link: LinkId) {
        let reason = "closed".into();
        self.0.handle(Input::Closed { link, reason });
    }

    fn gets(&mut self, link: LinkId, frames: &[&str]) {
        for frame in frames {
            let chunk = hex(frame);
            self.0.handle(Input::Bytes { link, chunk });
        }
    }

    fn expects(&mut self, frames: &[(LinkId, &str)]) {
        let expected: Vec<Output> = frames
            .iter()
            .map(|(link, frame)| send(*link, frame))
            .collect();
        assert_eq!(self.0.drain(), expected);
    }

    fn is_up(&mut self, frames: &[(LinkId, &str)], peer: [u8; 16], dialed: Option<PeerAddr>) {
        let sends = frames.iter().map(|(link, frame)| send(*link, frame));
        let expected: Vec<Output> = sends.chain([up(peer, dialed)]).collect();
        assert_eq!(self.0.drain(), expected);
    }
}

fn dials(own: [u8; 16]) -> Me {
    Me(dialer(own, "/test"))
}

fn listens(own: [u8; 16]) -> Me {
    Me(Rig::new(own, "/test", THEIRS, Options::default()))
}
