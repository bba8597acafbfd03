//! Broker's wire as a simulated agent needs it: frames that are read piece by piece, so that a
//! thousand agents can be sent a large configuration at once without holding it a thousand times.

use std::io;

use broker_proto::codec::Limits;
use broker_proto::codec::frame::put_frame;
use broker_proto::codec::handshake::{HandshakeMsg, VERSION};
use broker_proto::{EndpointId, Filter, Topic};
use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Frames up to this size, in bytes, are read whole.
const WHOLE: usize = 64 * 1024;

/// This much is kept of longer ones: names and ids are at the start.
const START: usize = 4 * 1024;

/// How much is thrown away at a time.
const SINK: usize = 256 * 1024;

/// Before an envelope's topic (WIRE §5.1).
const HEADER: usize = 37;

/// One frame, or the start of a long one.
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) is_whole: bool,
}

/// Reads one frame; of a long one only the start is kept.
pub(crate) async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let len = usize::try_from(reader.read_u32().await?).unwrap_or(usize::MAX);
    let is_whole = len <= WHOLE;
    let mut bytes = vec![0; if is_whole { len } else { START }];
    reader.read_exact(&mut bytes).await?;
    let mut rest = len - bytes.len();
    if rest > 0 {
        let mut sink = vec![0; SINK.min(rest)];
        while rest > 0 {
            let part = rest.min(sink.len());
            let (part, _) = sink.split_at_mut(part);
            rest -= reader.read(part).await.and_then(some)?;
        }
    }
    let bytes = bytes.into();
    Ok(Frame { bytes, is_whole })
}

fn some(len: usize) -> io::Result<usize> {
    match len {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        len => Ok(len),
    }
}

/// Peers with an acceptor whose id is smaller, which therefore originates (WIRE §4.2), and tells it
/// to send what is on this topic.
pub(crate) async fn shake_hands(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    me: EndpointId,
    topic: &Topic,
) -> io::Result<()> {
    let hello = HandshakeMsg::Hello {
        sender: me,
        min_version: VERSION,
        max_version: VERSION,
    };
    write_message(stream, &hello).await?;
    loop {
        let Frame { bytes, .. } = read_frame(stream).await?;
        let message = HandshakeMsg::decode(&bytes, &Limits::default());
        match message.map_err(io::Error::other)? {
            HandshakeMsg::Probe | HandshakeMsg::VersionSelect { .. } => {}
            HandshakeMsg::OriginatorSyn(_) => {
                let mut filter = Filter::default();
                filter.extend(topic.clone());
                write_message(stream, &HandshakeMsg::ResponderSynAck(filter)).await?;
            }
            HandshakeMsg::OriginatorAck => return Ok(()),
            other @ (HandshakeMsg::Hello { .. }
            | HandshakeMsg::DropConn(_)
            | HandshakeMsg::ResponderSynAck(_)) => {
                return Err(io::Error::other(format!("unexpected {other:?}")));
            }
        }
    }
}

async fn write_message(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &HandshakeMsg,
) -> io::Result<()> {
    let payload = message.encode();
    let frame = put_frame(payload.len(), |out| out.put_slice(&payload));
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// The value in a data envelope (WIRE §5.1), or in its start.
pub(crate) fn payload(frame: &Bytes) -> Option<Bytes> {
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
pub(crate) struct Asked<'a> {
    /// The event's name.
    pub(crate) event: &'a str,
    pub(crate) reqid: &'a str,
    /// The configuration's id, if the second argument is one.
    pub(crate) config: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// `None` if it is no event with a text as its first argument.
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
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
