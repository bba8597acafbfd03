//! What is wrong with certificates and keys at a given time, and who would refuse them.

use std::fmt;
use std::path::PathBuf;

use super::{Certificate, Kind};

/// A file with a certificate, and how that fits what is around it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Where it is.
    pub file: PathBuf,
    /// The first certificate in it.
    pub certificate: Certificate,
    /// Who signed it.
    pub issuer: Issuer,
    /// Its key.
    pub key: Key,
}

/// Who signed a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Issuer {
    /// Its own key: it is where a chain ends.
    Itself,
    /// A CA whose certificate is in this file.
    Known(PathBuf),
    /// Nobody whose certificate is there.
    Unknown,
}

/// The key beside a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// Not beside it.
    Elsewhere,
    /// In this file, and its own.
    Fits(PathBuf, Readers),
    /// In this file, and that of another certificate.
    Foreign(PathBuf, Readers),
    /// In this file, encrypted.
    Encrypted(PathBuf, Readers),
    /// This file does not read.
    Unreadable(PathBuf, String),
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readers {
    /// Its owner, and perhaps its group.
    Few,
    /// Everybody on the host.
    All,
}

/// One thing to know about an entry. The text reads after the file's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// Its time is over.
    Expired {
        /// Whole days since.
        days: i64,
    },
    /// Its time has not come.
    NotYetValid {
        /// Whole days until then.
        days: i64,
    },
    /// Its time is over within [`SOON`].
    EndsSoon {
        /// Whole days left.
        days: i64,
    },
    /// X.509 version 1 (WIRE §7.3).
    Version1,
    /// Extended key usage without serverAuth.
    NotForListening,
    /// Extended key usage without clientAuth.
    NotForDialing,
    /// A CA's, with a key usage that forbids signing.
    MayNotSign,
    /// Key or signature are of a kind that rustls lacks.
    UnknownToRustls(String),
    /// No CA that is known here signed it.
    UnknownIssuer {
        /// Who is said to have.
        issuer: String,
    },
    /// It has neither names nor addresses.
    NoNames,
    /// The key beside it is another's.
    ForeignKey(PathBuf),
    /// The key beside it does not read.
    UnreadableKey(PathBuf, String),
    /// Everybody on the host may read the key.
    KeyForAll(PathBuf),
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Weight {
    /// Good to know.
    Remark,
    /// Somebody refuses it, or it protects nothing.
    Wrong,
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::EndsSoon { .. } | Self::NoNames => Weight::Remark,
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::Version1
            | Self::NotForListening
            | Self::NotForDialing
            | Self::MayNotSign
            | Self::UnknownToRustls(_)
            | Self::UnknownIssuer { .. }
            | Self::ForeignKey(_)
            | Self::UnreadableKey(..)
            | Self::KeyForAll(_) => Weight::Wrong,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { days } => write!(
                f,
                "expired {days} days ago; stock and zeek-mgmt refuse it: issue it again"
            ),
            Self::NotYetValid { days } => write!(
                f,
                "not valid for {days} more days; stock and zeek-mgmt refuse it: is the clock right?"
            ),
            Self::EndsSoon { days } => write!(f, "ends in {days} days: issue it again"),
            Self::Version1 => f.write_str(
                "X.509 version 1; stock takes it, zeek-mgmt on other hosts refuses it as rustls \
                 does: issue it again as version 3",
            ),
            Self::NotForListening => f.write_str(
                "not meant for who listens (extended key usage without serverAuth); stock and \
                 zeek-mgmt refuse it when they dial this host",
            ),
            Self::NotForDialing => f.write_str(
                "not meant for who dials (extended key usage without clientAuth); stock and \
                 zeek-mgmt refuse it when this host dials them",
            ),
            Self::MayNotSign => f.write_str(
                "of a CA that may not sign (key usage without keyCertSign); stock refuses what it \
                 signed",
            ),
            Self::UnknownToRustls(what) => write!(
                f,
                "zeek-mgmt on other hosts refuses it: rustls does not know {what}"
            ),
            Self::UnknownIssuer { issuer } => write!(
                f,
                "no CA that was looked at signed it (it says: {issuer}); stock and zeek-mgmt \
                 refuse it unless they have that CA"
            ),
            Self::NoNames => f.write_str(
                "without host names and addresses; zeek-client does not take it for its \
                 controller's",
            ),
            Self::ForeignKey(file) => {
                write!(f, "the key in {} is that of another", file.display())
            }
            Self::UnreadableKey(file, why) => write!(f, "the key in {}: {why}", file.display()),
            Self::KeyForAll(file) => write!(
                f,
                "everybody on this host may read the key in {0}: chmod 600 {0}",
                file.display()
            ),
        }
    }
}

impl Entry {
    /// What is to be said about it at this time, in seconds since 1970.
    #[must_use]
    pub fn findings(&self, now: i64) -> Vec<Finding> {
        let certificate = &self.certificate;
        let mut found = Vec::new();
        found.extend(validity(certificate, now));
        found.extend(match certificate.kind {
            Kind::Authority => authority(certificate),
            Kind::Peer => peer(certificate),
        });
        let unknown = certificate.algorithm.unknown_to_rustls();
        found.extend(unknown.map(Finding::UnknownToRustls));
        found.extend(match (certificate.kind, &self.issuer) {
            (Kind::Authority | Kind::Peer, Issuer::Known(_))
            | (Kind::Authority, Issuer::Itself) => None,
            // A peer that signed its own certificate is vouched for by nobody.
            (Kind::Peer, Issuer::Itself) | (Kind::Authority | Kind::Peer, Issuer::Unknown) => {
                Some(Finding::UnknownIssuer {
                    issuer: certificate.issuer.clone(),
                })
            }
        });
        found.extend(key(&self.key));
        found
    }
}

fn validity(certificate: &Certificate, now: i64) -> Option<Finding> {
    let Certificate {
        not_before,
        not_after,
        ..
    } = *certificate;
    let days = |from: i64, to: i64| to.saturating_sub(from) / DAY;
    if now > not_after {
        let days = days(not_after, now);
        return Some(Finding::Expired { days });
    }
    if now < not_before {
        // Up to a whole day, so that it never reads "0 more days".
        let days = days(now, not_before).saturating_add(1);
        return Some(Finding::NotYetValid { days });
    }
    let days = days(now, not_after);
    (days < SOON).then_some(Finding::EndsSoon { days })
}

fn authority(certificate: &Certificate) -> Vec<Finding> {
    if certificate.usage.sign {
        return Vec::new();
    }
    vec![Finding::MayNotSign]
}

fn peer(certificate: &Certificate) -> Vec<Finding> {
    let Certificate {
        version,
        usage,
        names,
        ..
    } = certificate;
    let said = [
        (*version < 3, Finding::Version1),
        (!usage.serve, Finding::NotForListening),
        (!usage.dial, Finding::NotForDialing),
        (names.is_empty(), Finding::NoNames),
    ];
    let said = said.into_iter().filter(|(applies, _)| *applies);
    said.map(|(_, finding)| finding).collect()
}

fn key(key: &Key) -> Vec<Finding> {
    let (file, readers, foreign) = match key {
        Key::Elsewhere => return Vec::new(),
        Key::Unreadable(file, why) => {
            return vec![Finding::UnreadableKey(file.clone(), why.clone())];
        }
        Key::Fits(file, readers) | Key::Encrypted(file, readers) => (file, readers, None),
        Key::Foreign(file, readers) => (file, readers, Some(Finding::ForeignKey(file.clone()))),
    };
    let mut found: Vec<Finding> = foreign.into_iter().collect();
    if *readers == Readers::All {
        found.push(Finding::KeyForAll(file.clone()));
    }
    found
}

/// Below so many days an end is worth a word.
pub const SOON: i64 = 30;

const DAY: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests;
