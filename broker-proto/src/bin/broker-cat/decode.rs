//! Bytes to JSON, and back.

use std::io::{self, BufRead, Write};

use broker_proto::codec::envelope::Envelope;
use broker_proto::codec::frame::FrameDecoder;
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::codec::{self, Limits};
use bytes::Bytes;

use crate::Kind;
use crate::json::{read, write};

/// What to write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Json,
    Hex,
}

/// Why not everything was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeFailure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0} of the items are not what they should be")]
    Invalid(u64),
}

/// Reads items until the input ends and writes a line for each.
///
/// # Errors
/// If reading or writing fails, or in the end if an item was invalid.
pub(crate) fn run(
    kind: Kind,
    form: Form,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<(), DecodeFailure> {
    let mut invalid = 0;
    let mut put = |item: Result<String, String>| {
        let line = item.unwrap_or_else(|reason| {
            invalid += 1;
            write::invalid(&reason)
        });
        writeln!(out, "{line}")
    };
    if kind == Kind::Frames {
        frames(form, input, &mut put)?;
    } else {
        for line in input.lines() {
            let line = line?;
            let line = line.trim();
            // An empty line is an empty item, which is what an invalid vector may be.
            put(one(kind, form, line))?;
        }
    }
    if invalid > 0 {
        return Err(DecodeFailure::Invalid(invalid));
    }
    Ok(())
}

fn frames(
    form: Form,
    input: &mut impl BufRead,
    put: &mut impl FnMut(Result<String, String>) -> io::Result<()>,
) -> io::Result<()> {
    let limit = Limits::default().frame;
    let mut decoder = FrameDecoder::default();
    let mut phase = Kind::Handshake;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        let len = chunk.len();
        decoder.push(chunk);
        input.consume(len);
        loop {
            match decoder.next_frame(limit) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    phase = phase_of(phase, &frame);
                    put(describe(phase, form, &frame))?;
                }
                Err(error) => return put(Err(error.to_string())),
            }
        }
    }
    match decoder.pending().len() {
        0 => Ok(()),
        rest => put(Err(format!("{rest} bytes of an unfinished frame"))),
    }
}

/// Where a connection stands with this frame. Recordings may start behind the handshake.
fn phase_of(before: Kind, frame: &Bytes) -> Kind {
    if before != Kind::Handshake {
        return before;
    }
    match HandshakeMsg::decode(frame, &Limits::default()) {
        Ok(msg) if msg.encode() == *frame => Kind::Handshake,
        _ => Kind::Envelope,
    }
}

fn one(kind: Kind, form: Form, line: &str) -> Result<String, String> {
    if line.starts_with('{') {
        return match form {
            Form::Hex => again(line),
            Form::Json => Err("not hexadecimal (JSON is for --reencode)".into()),
        };
    }
    let bytes = read::unhex(line).map_err(|error| error.to_string())?;
    describe(kind, form, &bytes.into())
}

fn describe(kind: Kind, form: Form, bytes: &Bytes) -> Result<String, String> {
    let json = json(kind, bytes).map_err(|error| error.to_string())?;
    match form {
        Form::Json => Ok(json),
        Form::Hex => again(&json),
    }
}

/// Bytes as JSON; frames count as messages of a peering.
pub(crate) fn json(kind: Kind, bytes: &Bytes) -> Result<String, codec::DecodeError> {
    let limits = Limits::default();
    match kind {
        Kind::Data => Ok(write::data(&codec::data::decode(bytes, &limits)?)),
        Kind::Handshake => Ok(write::handshake(&HandshakeMsg::decode(bytes, &limits)?)),
        Kind::Envelope | Kind::Frames => write::envelope(&Envelope::decode(bytes)?, &limits),
    }
}

fn again(json: &str) -> Result<String, String> {
    let bytes = read::parse(json).and_then(|json| read::encode(&json));
    let bytes = bytes.map_err(|error| error.to_string())?;
    Ok(write::hex(&bytes))
}
