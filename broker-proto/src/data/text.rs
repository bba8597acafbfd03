//! `ByteString`: what Broker calls a string.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;

/// Bytes that are usually UTF-8 text. Broker checks no encoding (WIRE §3.5).
///
/// Up to 22 bytes need no memory of their own: most names, ids and addresses in messages are
/// that short, and allocating them one by one was most of the time that decoding took.
#[derive(Clone)]
pub struct ByteString(Repr);

#[derive(Clone)]
enum Repr {
    /// The first `len` bytes count.
    Inline {
        len: u8,
        bytes: [u8; INLINE],
    },
    Heap(Box<[u8]>),
}

/// As many bytes as fit without making the type larger than the boxed form does.
pub(crate) const INLINE: usize = 22;

impl ByteString {
    pub(crate) const EMPTY: Self = Self(Repr::Inline {
        len: 0,
        bytes: [0; INLINE],
    });

    /// The bytes as they are.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Heap(bytes) => bytes,
        }
    }

    /// The text, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }

    /// The text, with U+FFFD in place of what is not UTF-8.
    pub fn to_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Length and bytes of a short string, and whatever is behind them.
    #[inline(always)]
    pub(crate) fn as_inline(&self) -> Option<(u8, &[u8; INLINE])> {
        match &self.0 {
            Repr::Inline { len, bytes } => Some((*len, bytes)),
            Repr::Heap(_) => None,
        }
    }

    /// Becomes the first `len` bytes of `input`, which has at least as many; was [`Self::EMPTY`].
    ///
    /// A copy of fixed length is several times faster than one of few bytes, so a short string
    /// takes what follows it in the input along, where nobody looks at it.
    #[inline(always)]
    pub(crate) fn set_start(&mut self, input: &[u8], len: u8) {
        if usize::from(len) <= INLINE
            && let Repr::Inline { len: own, bytes } = &mut self.0
            && let Some(start) = input.first_chunk::<INLINE>()
        {
            *own = len;
            *bytes = *start;
        } else {
            self.set(input.get(..len.into()).unwrap_or_default());
        }
    }

    /// Becomes these bytes; was [`Self::EMPTY`], which has nothing to drop.
    pub(crate) fn set(&mut self, text: &[u8]) {
        if text.len() > INLINE {
            mem::forget(mem::replace(&mut self.0, Repr::Heap(text.into())));
        } else if let Repr::Inline { len, bytes } = &mut self.0
            && let Some(start) = bytes.get_mut(..text.len())
        {
            start.copy_from_slice(text);
            *len = u8::try_from(text.len()).unwrap_or_default();
        }
    }
}

impl Default for ByteString {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for ByteString {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ByteString {}

impl Ord for ByteString {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for ByteString {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ByteString {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_lossy(), f)
    }
}

impl fmt::Display for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_lossy())
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for ByteString {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<&[u8]> for ByteString {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        let mut text = Self::EMPTY;
        text.set(bytes);
        text
    }
}

impl From<Vec<u8>> for ByteString {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() > INLINE {
            return Self(Repr::Heap(bytes.into()));
        }
        Self::from(bytes.as_slice())
    }
}

impl From<ByteString> for Vec<u8> {
    /// Takes the memory that a long string has.
    fn from(text: ByteString) -> Self {
        match text.0 {
            Repr::Heap(bytes) => bytes.into(),
            Repr::Inline { .. } => text.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_strings_differ_in_nothing_but_their_bytes() {
        let texts: Vec<Vec<u8>> = (0..64_u8).map(|n| vec![b'x'; n.into()]).collect();
        for (at, text) in texts.iter().enumerate() {
            let string = ByteString::from(text.as_slice());
            assert_eq!(string.as_bytes(), text.as_slice());
            assert_eq!(Vec::from(string.clone()), *text);
            assert_eq!(string, ByteString::from(text.clone()));
            assert_eq!((string.len(), string.is_empty()), (at, at == 0));
            for (other_at, other) in texts.iter().enumerate() {
                let other = ByteString::from(other.as_slice());
                assert_eq!(string.cmp(&other), at.cmp(&other_at));
            }
        }
    }

    #[test]
    fn a_string_is_no_larger_than_three_words() {
        assert_eq!(size_of::<ByteString>(), 3 * size_of::<usize>());
    }
}
