//! Which agent has which name: the first that comes with it, for as long as it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_proto::{EndpointId, PeerCertificate};

/// The names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names {
    holders: BTreeMap<String, Holder>,
}

#[derive(Debug)]
struct Holder {
    peer: EndpointId,
    certificate: Option<Arc<PeerCertificate>>,
}

/// What becomes of who wants a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    /// It has it.
    Granted,
    /// It has it, and this one before it does not any more.
    Taken(EndpointId),
    /// This one has it.
    Refused(EndpointId),
}

/// Whether a name belongs to somebody by rule, who may then come with a new connection at any time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Title {
    ByRule,
    FirstCome,
}

impl Names {
    pub(super) fn claim(
        &mut self,
        name: &str,
        peer: EndpointId,
        certificate: Option<&Arc<PeerCertificate>>,
        title: Title,
    ) -> Claim {
        let claim = match self.holders.get(name) {
            None => Claim::Granted,
            Some(holder) if holder.peer == peer => Claim::Granted,
            Some(holder) if title == Title::ByRule || holder.is(certificate) => {
                Claim::Taken(holder.peer)
            }
            Some(holder) => Claim::Refused(holder.peer),
        };
        match claim {
            Claim::Granted | Claim::Taken(_) => {
                let certificate = certificate.cloned();
                let holder = Holder { peer, certificate };
                self.holders.insert(name.to_owned(), holder);
            }
            Claim::Refused(_) => {}
        }
        claim
    }

    /// Who has it.
    pub(super) fn holder(&self, name: &str) -> Option<EndpointId> {
        self.holders.get(name).map(|holder| holder.peer)
    }

    /// A peer is gone; returns the names that are free again.
    pub(super) fn release(&mut self, peer: EndpointId) -> Vec<String> {
        let gone = self.holders.iter().filter(|(_, it)| it.peer == peer);
        let names: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        self.holders.retain(|_, holder| holder.peer != peer);
        names
    }
}

impl Holder {
    /// Whether it is the same agent on another connection.
    fn is(&self, certificate: Option<&Arc<PeerCertificate>>) -> bool {
        match (&self.certificate, certificate) {
            (Some(own), Some(other)) => own.fingerprint == other.fingerprint,
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}
