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
