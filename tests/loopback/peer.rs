//! A peer that can be made to say anything.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use broker_proto::codec::envelope::{Envelope, MessageKind, TTL};
use broker_proto::codec::frame::FrameDecoder;
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::topic::INTERNAL_TOPIC;
use broker_proto::{EndpointId, Filter, Topic};
use bytes::Bytes;

const LIMIT: Duration = Duration::from_secs(60);

/// Larger than every other id, so that the other side originates (WIRE §4.2).
const ID: EndpointId = EndpointId::from_bytes([0xff; 16]);

/// One connection to a Broker port.
pub(crate) struct Peer {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Peer {
    /// Opens a connection and says nothing.
    pub(crate) fn connect(port: u16) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            decoder: FrameDecoder::default(),
        }
    }

    /// Opens a peering that subscribes to nothing.
    pub(crate) fn peered(port: u16) -> Self {
        let mut peer = Self::connect(port);
        peer.send_frame(
            &HandshakeMsg::Hello {
                sender: ID,
                min_version: 1,
                max_version: 1,
            }
            .encode(),
        );
        while peer.frame().expect("the other side originates").first() != Some(&10) {}
        peer.send_frame(&HandshakeMsg::ResponderSynAck(Filter::default()).encode());
        let ack = peer.frame().expect("the handshake ends");
        assert_eq!(ack, HandshakeMsg::OriginatorAck.encode());
        peer
    }

    /// Our end of the socket, as it is in the other side's log.
    pub(crate) fn name(&self) -> String {
        self.stream.local_addr().unwrap().to_string()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send_frame(&mut self, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.send(&[len.as_slice(), payload].concat());
    }

    pub(crate) fn send_data(&mut self, topic: &str, payload: &[u8]) {
        let topic = Topic::new(topic).unwrap();
        self.send_frame(&envelope(MessageKind::Data, topic, payload).encode());
    }

    /// Sends no more; still reads.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.decoder.next_frame(usize::MAX).unwrap() {
                return Some(frame);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.decoder.push(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no frame and no end: {error}"),
            }
        }
    }

    /// Everything until the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.frame()).collect()
    }

    /// Whether the peering still stands: a ping comes back as a pong.
    pub(crate) fn assert_answers(&mut self) {
        let ping = envelope(MessageKind::Ping, INTERNAL_TOPIC, b"still there?");
        self.send_frame(&ping.encode());
        loop {
            let frame = self.frame().expect("the peering still stands");
            let envelope = Envelope::decode(&frame).unwrap();
            if envelope.kind == MessageKind::Pong {
                assert_eq!(envelope.payload, ping.payload);
                return;
            }
        }
    }
}

fn envelope(kind: MessageKind, topic: Topic, payload: &[u8]) -> Envelope {
    Envelope {
        sender: ID,
        receiver: EndpointId::NIL,
        kind,
        ttl: TTL,
        topic,
        payload: Bytes::copy_from_slice(payload),
    }
}
