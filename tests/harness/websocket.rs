//! A WebSocket client that says what it is told, right or wrong (CLIENT §A1, §A9).

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use broker_proto::zeek::Event;
use mgmt::api::CONTROLLER_TOPIC;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use zeek_client_compat::message::{self, DataMessage};

/// What clients of the controller subscribe to.
pub const SUBSCRIPTIONS: &str = "[\"zeek/management/controller\"]";

const LIMIT: Duration = Duration::from_secs(60);
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One connection.
#[derive(Debug)]
pub struct WebSocket {
    stream: BufReader<TcpStream>,
}

/// What the server sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// A text message.
    Text(String),
    /// A close frame with its code, or 0 if it had none.
    Close(u16),
    /// The connection ended without a close frame.
    End,
}

impl WebSocket {
    /// Connects to a port of 127.0.0.1 and upgrades.
    ///
    /// # Errors
    /// If there is no connection or the server does not answer 101.
    pub fn connect(port: u16) -> io::Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let request = format!(
            "GET /v1/messages/json HTTP/1.1\r\nUpgrade: websocket\r\nHost: {addr}\r\n\
             Sec-WebSocket-Key: gCJulltdAhAybS++8yRbzw==\r\nSec-WebSocket-Version: 13\r\n\
             Connection: Upgrade\r\n\r\n"
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let head = read_head(&mut stream)?;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(io::Error::other(head));
        }
        Ok(Self { stream })
    }

    /// Connects and subscribes as zeek-client does; swallows the ack.
    ///
    /// # Errors
    /// If there is no connection or no ack.
    pub fn subscribed(port: u16) -> io::Result<Self> {
        let mut socket = Self::connect(port)?;
        socket.send(SUBSCRIPTIONS)?;
        match socket.receive()? {
            Answer::Text(text) if text.contains("\"ack\"") => Ok(socket),
            other @ (Answer::Text(_) | Answer::Close(_) | Answer::End) => {
                Err(io::Error::other(format!("no ack but {other:?}")))
            }
        }
    }

    /// The address that the server sees.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Another handle on the connection, to send from while this one receives.
    ///
    /// # Errors
    /// If the system has no more handles.
    pub fn sender(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
    }

    /// Sends one text message.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.frame(TEXT, text.as_bytes())
    }

    /// Sends a request as clients do.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn request(&mut self, request: &ControllerRequest) -> io::Result<()> {
        let event = Event::from(request.clone());
        self.send(&message::event(&CONTROLLER_TOPIC, event))
    }

    /// Sends a request and waits for its answer, as [`Self::await_answer`].
    ///
    /// # Errors
    /// If the connection is gone, or nothing comes within a minute.
    pub fn answer(&mut self, request: &ControllerRequest) -> io::Result<ControllerResponse> {
        self.request(request)?;
        self.await_answer(request)
    }

    /// Waits for the answer to a request that was sent; whatever else comes is skipped.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn await_answer(&mut self, request: &ControllerRequest) -> io::Result<ControllerResponse> {
        let asked = Event::from(request.clone());
        let name = asked.name.replace("_request", "_response");
        loop {
            let text = match self.receive()? {
                Answer::Text(text) => text,
                other @ (Answer::Close(_) | Answer::End) => {
                    return Err(io::Error::other(format!("no answer but {other:?}")));
                }
            };
            let message = DataMessage::parse(&text).map_err(io::Error::other)?;
            let event = Event::from_data(message.data).map_err(io::Error::other)?;
            if event.name == name && event.args.first() == asked.args.first() {
                return ControllerResponse::try_from(event).map_err(io::Error::other);
            }
        }
    }

    /// Sends one unfragmented frame of any kind.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(&frame(opcode, payload))
    }

    /// Waits for the next message; pings and a close are answered on the way.
    ///
    /// # Errors
    /// If nothing comes within a minute, or a frame is malformed.
    pub fn receive(&mut self) -> io::Result<Answer> {
        loop {
            let Some((opcode, payload)) = self.read_frame()? else {
                return Ok(Answer::End);
            };
            match opcode {
                TEXT => return Ok(Answer::Text(String::from_utf8_lossy(&payload).into_owned())),
                CLOSE => {
                    // The server may be gone by now.
                    let _ = self.frame(CLOSE, &payload);
                    let code = payload
                        .first_chunk()
                        .map(|bytes| u16::from_be_bytes(*bytes));
                    return Ok(Answer::Close(code.unwrap_or_default()));
                }
                PING => self.frame(PONG, &payload)?,
                PONG => {}
                other => return Err(io::Error::other(format!("frame of kind {other}"))),
            }
        }
    }

    fn read_frame(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if is_end(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let [first, second] = head;
        let len = match second & 0x7f {
            126 => {
                let mut len = [0; 2];
                self.stream.read_exact(&mut len)?;
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.stream.read_exact(&mut len)?;
                u64::from_be_bytes(len)
            }
            len => u64::from(len),
        };
        let mut payload = Vec::new();
        (&mut self.stream).take(len).read_to_end(&mut payload)?;
        Ok(Some((first & 0x0f, payload)))
    }
}

/// One unfragmented frame of a client, masked with zeros.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..=125), _) => frame.push(0x80 | len),
        (_, Ok(len)) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        (_, Err(_)) => {
            frame.push(0x80 | 127);
            frame.extend(
                u64::try_from(payload.len())
                    .unwrap_or_default()
                    .to_be_bytes(),
            );
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}

fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 0x4000 {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
