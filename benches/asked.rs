//! What a controller asks an agent, by the first bytes of the frame.

use bytes::Bytes;

/// Before an envelope's topic (WIRE §5.1).
const HEADER: usize = 37;

/// The value in a data envelope (WIRE §5.1), or in its start.
pub fn payload(frame: &Bytes) -> Option<Bytes> {
    const DATA: u8 = 1;
    if *frame.get(32)? != DATA {
        return None;
    }
    let topic = frame.get(35..HEADER)?.try_into().ok()?;
    let topic = usize::from(u16::from_be_bytes(topic));
    (HEADER + topic <= frame.len()).then(|| frame.slice(HEADER + topic..))
}

/// What a request to an agent is, by its first bytes (WIRE §3, §8.1).
#[derive(Debug, Eq, PartialEq)]
pub struct Asked<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The first argument.
    pub reqid: &'a str,
    /// The configuration's id, if the second argument is one.
    pub config: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// What these bytes ask; `None` if it is no event with a text as its first argument.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload;
        // Format, type and content; each number is one byte of type and eight of value.
        vector(&mut rest)?;
        skip(&mut rest, 2 * 9)?;
        vector(&mut rest)?;
        let event = text(&mut rest)?;
        vector(&mut rest)?;
        let reqid = text(&mut rest)?;
        let config = vector(&mut rest).and_then(|_| text(&mut rest));
        Some(Self {
            event,
            reqid,
            config,
        })
    }
}

fn vector(rest: &mut &[u8]) -> Option<usize> {
    const VECTOR: u8 = 14;
    tag(rest, VECTOR)?;
    length(rest)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    const STRING: u8 = 5;
    tag(rest, STRING)?;
    let len = length(rest)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn tag(rest: &mut &[u8], wanted: u8) -> Option<()> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    (*first == wanted).then_some(())
}

fn skip(rest: &mut &[u8], len: usize) -> Option<()> {
    *rest = rest.get(len..)?;
    Some(())
}

/// Seven bits a byte, the lowest first (WIRE §3).
fn length(rest: &mut &[u8]) -> Option<usize> {
    let mut len = 0;
    for shift in (0..28).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        len |= usize::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}
