//! Messages that are longer than a client's may be, cut out of what it sends before anybody has to
//! hold them (CLIENT §A10).
//!
//! [`Sieve`] sits below the WebSocket layer, which gives a connection up when it sees such a message,
//! and knows no more of frames than their headers (RFC 6455, 5.2). Of a message that is too long it
//! lets the start pass, as a message that ends there, drops the rest as it comes, and tells which
//! message that was: the server answers it and goes on. What is no frame of a client's is passed on
//! for the layer above to refuse.

use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// How much of a message in one frame is left when it is cut: a request's name and id are at its
/// start. Of a message in several frames all is left that came before it was too long.
pub(crate) const START: usize = 1024;

/// How much a client may send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Longest {
    /// Bytes of one message.
    pub(crate) message: usize,
    /// Bytes of all messages together that are longer than that.
    pub(crate) skipped: usize,
}

/// A message that was cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cut {
    /// How many messages were passed on before it.
    pub(crate) message: u64,
    /// How long it is, as far as its frames have said.
    pub(crate) bytes: u64,
    /// Whether the client may send on.
    pub(crate) verdict: Verdict,
}

/// What becomes of a client with a message that is too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// What it sends next counts.
    GoesOn,
    /// No message of it is passed on any more: this was its first, with which nobody is known to be
    /// a client, or it is more than may be skipped.
    Ends,
}

/// The bytes of one client.
#[derive(Debug)]
pub(crate) struct Sieve {
    longest: Longest,
    /// How much of what comes is passed on as it is.
    pass: u64,
    /// How much is dropped behind that.
    drop: u64,
    /// A header that is not all there yet.
    header: Vec<u8>,
    message: Message,
    /// Messages that were passed on, whole or cut.
    passed: u64,
    skipped: u64,
    cuts: VecDeque<Cut>,
}

/// The message that the last frame belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Message {
    /// It was the last one of it.
    Over,
    /// It goes on, and had so many bytes until now.
    Passing(u64),
    /// It goes on, and nobody is interested.
    Cut(u64),
    /// The same for all messages.
    Deaf,
}

impl Sieve {
    pub(crate) fn new(longest: Longest) -> Self {
        Self {
            longest,
            pass: 0,
            drop: 0,
            header: Vec::new(),
            message: Message::Over,
            passed: 0,
            skipped: 0,
            cuts: VecDeque::new(),
        }
    }

    /// Whether so many bytes, the next ones, all pass; if so, they count as passed.
    pub(crate) fn passes(&mut self, len: usize) -> bool {
        let rest = self.pass.checked_sub(long(len));
        self.pass = rest.unwrap_or(self.pass);
        rest.is_some()
    }

    /// Appends to `out` what is left of the next bytes. A header is kept back until it is whole, so
    /// what is left may be up to 13 bytes more than came, and by [`EMPTY`] if the client has to go.
    pub(crate) fn sift(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        loop {
            let passed = take(&mut self.pass, &mut bytes);
            out.extend_from_slice(passed);
            take(&mut self.drop, &mut bytes);
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            self.header.push(*first);
            bytes = rest;
            match Header::read(&self.header) {
                Read::More => {}
                Read::Frame(header) => self.on_header(header, out),
                Read::Wrong => self.give_up(out),
            }
        }
    }

    /// The oldest message that was cut, if it is this one, counted from the first one that was
    /// passed on.
    pub(crate) fn cut(&mut self, message: u64) -> Option<Cut> {
        let is_due = self.cuts.front().is_some_and(|cut| cut.message == message);
        is_due.then(|| self.cuts.pop_front()).flatten()
    }

    fn on_header(&mut self, header: Header, out: &mut Vec<u8>) {
        if header.is_control() {
            return self.pass_frame(header, out);
        }
        let begins = header.opcode != CONTINUATION;
        let before = match (self.message, begins) {
            (Message::Over, true) => 0,
            (Message::Passing(before), false) => before,
            (Message::Cut(before), false) => return self.on_rest(before, header, out),
            (Message::Deaf, _) => return self.drop_frame(header),
            // There is no such order of frames.
            (Message::Over, false) | (Message::Passing(_) | Message::Cut(_), true) => {
                return self.give_up(out);
            }
        };
        let bytes = before.saturating_add(header.len);
        if bytes > long(self.longest.message) {
            return self.on_too_long(before, header, out);
        }
        self.message = if header.ends {
            self.passed += 1;
            Message::Over
        } else {
            Message::Passing(bytes)
        };
        self.pass_frame(header, out);
    }

    /// The frame with which a message becomes too long is the last one of what is passed on.
    fn on_too_long(&mut self, before: u64, header: Header, out: &mut Vec<u8>) {
        let bytes = before.saturating_add(header.len);
        let verdict = self.skip(header.len);
        self.announce(bytes, verdict);
        let start = match verdict {
            Verdict::GoesOn if before == 0 => self.start(),
            // Nobody will read it, and it would have to be waited for.
            Verdict::GoesOn | Verdict::Ends => 0,
        };
        out.push(ENDS | header.opcode_of_bytes());
        match u8::try_from(start) {
            Ok(len) if len < TWO_BYTES => out.push(MASKED | len),
            Ok(_) | Err(_) => {
                out.push(MASKED | TWO_BYTES);
                out.extend_from_slice(&start.to_be_bytes());
            }
        }
        out.extend_from_slice(&header.mask);
        self.header.clear();
        self.pass = u64::from(start);
        self.drop = header.len.saturating_sub(u64::from(start));
        self.message = match verdict {
            Verdict::Ends => Message::Deaf,
            Verdict::GoesOn if header.ends => Message::Over,
            Verdict::GoesOn => Message::Cut(bytes),
        };
    }

    /// One more frame of a message that was too long before it.
    fn on_rest(&mut self, before: u64, header: Header, out: &mut Vec<u8>) {
        let bytes = before.saturating_add(header.len);
        self.drop_frame(header);
        match self.skip(header.len) {
            Verdict::GoesOn if header.ends => self.message = Message::Over,
            Verdict::GoesOn => self.message = Message::Cut(bytes),
            Verdict::Ends => {
                out.extend_from_slice(&EMPTY);
                self.announce(bytes, Verdict::Ends);
                self.message = Message::Deaf;
            }
        }
    }

    fn announce(&mut self, bytes: u64, verdict: Verdict) {
        let message = self.passed;
        self.passed += 1;
        self.cuts.push_back(Cut {
            message,
            bytes,
            verdict,
        });
    }

    fn skip(&mut self, len: u64) -> Verdict {
        self.skipped = self.skipped.saturating_add(len);
        if self.passed == 0 || self.skipped > long(self.longest.skipped) {
            return Verdict::Ends;
        }
        Verdict::GoesOn
    }

    /// What a cut message is left of its first frame, which is longer than that.
    fn start(&self) -> u16 {
        u16::try_from(self.longest.message.min(START)).unwrap_or(u16::MAX)
    }

    fn pass_frame(&mut self, header: Header, out: &mut Vec<u8>) {
        let first = out.len();
        out.append(&mut self.header);
        // A text that is cut may end within a character, which the layer above would refuse.
        if let Some(first) = out.get_mut(first)
            && !header.ends
            && header.opcode == TEXT
        {
            *first = BINARY;
        }
        self.pass = header.len;
    }

    fn drop_frame(&mut self, header: Header) {
        self.header.clear();
        self.drop = header.len;
    }

    /// Whoever reads what is left will not read on.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.header);
        self.pass = u64::MAX;
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug)]
struct Header {
    ends: bool,
    opcode: u8,
    len: u64,
    mask: [u8; 4],
}

enum Read {
    /// It is longer.
    More,
    Frame(Header),
    /// No client's header.
    Wrong,
}

impl Header {
    fn read(bytes: &[u8]) -> Read {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Read::More;
        };
        let (ends, opcode) = (first & ENDS != 0, first & 0x0f);
        let is_known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE..=PONG);
        if first & RESERVED != 0 || !is_known || second & MASKED == 0 {
            return Read::Wrong;
        }
        let (len, rest) = match second & !MASKED {
            TWO_BYTES => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Read::More,
            },
            EIGHT_BYTES => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Read::More,
            },
            len => (u64::from(len), rest),
        };
        let Some((mask, _)) = rest.split_first_chunk() else {
            return Read::More;
        };
        let header = Self {
            ends,
            opcode,
            len,
            mask: *mask,
        };
        if header.is_control() && (!ends || len >= u64::from(TWO_BYTES)) {
            return Read::Wrong;
        }
        Read::Frame(header)
    }

    fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }

    /// As for a text whose end is missing.
    fn opcode_of_bytes(&self) -> u8 {
        if self.opcode == TEXT {
            BINARY
        } else {
            self.opcode
        }
    }
}

/// Takes from the front of `bytes` what a counter allows.
fn take<'a>(left: &mut u64, bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    *left -= long(len);
    taken
}

fn long(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A message of no bytes, as a client would send it.
const EMPTY: [u8; 6] = [ENDS | BINARY, MASKED, 0, 0, 0, 0];

const ENDS: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// Lengths that say how many bytes the length has.
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;
