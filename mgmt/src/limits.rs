//! What a stranger may make a program hold (API §16).
//!
//! Every limit is a whole number with a name, a default and a range, all of it in one table below:
//! the policy file sets them by these names, and whoever prints them finds them here.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use broker_proto::codec;
use broker_proto::peering::Options;
use broker_proto::places::Capacity;

#[cfg(test)]
mod tests;

/// Why a limit cannot be set.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LimitError {
    /// It is not in the table.
    #[error("there is no limit of this name")]
    Unknown,
    /// Not within what makes sense.
    #[error("{given} is not between {} and {}", range.start(), range.end())]
    OutOfRange {
        /// What was asked for.
        given: u64,
        /// What may be.
        range: RangeInclusive<u64>,
    },
}

macro_rules! limits {
    ($( $(#[$doc:meta])* $name:ident = $default:literal, $range:expr; )*) => {
        /// All limits of one program. Sizes are in bytes, times in seconds.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct Limits {
            $( $(#[$doc])* pub $name: u64, )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        impl Limits {
            /// The names, in the order of the table.
            pub const NAMES: &'static [&'static str] = &[$( stringify!($name), )*];

            /// Sets one by its name.
            ///
            /// # Errors
            /// If there is none of this name, or the value is out of its range.
            pub fn set(&mut self, name: &str, given: u64) -> Result<(), LimitError> {
                $(
                    if name == stringify!($name) {
                        let range: RangeInclusive<u64> = $range;
                        if !range.contains(&given) {
                            return Err(LimitError::OutOfRange { given, range });
                        }
                        self.$name = given;
                        return Ok(());
                    }
                )*
                Err(LimitError::Unknown)
            }

            /// All names with their values, in the order of the table.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$( (stringify!($name), self.$name), )*]
            }
        }
    };
}

limits! {
    /// Links on the Broker port, those included that are not peers yet.
    links = 2048, 8..=1_000_000;
    /// The same from one address.
    links_per_address = 1024, 4..=1_000_000;
    /// Links on the Broker port before the end of their TLS handshake.
    strangers = 512, 4..=100_000;
    /// The same from one address.
    strangers_per_address = 256, 2..=100_000;
    /// From accept to the end of the TLS handshake, on both ports.
    tls_secs = 10, 1..=600;
    /// Links that are through TLS and in their Broker handshake.
    handshakes = 1024, 4..=100_000;
    /// The same from one address.
    handshakes_per_address = 256, 2..=100_000;
    /// From the end of TLS to the end of the Broker handshake.
    handshake_secs = 10, 1..=600;
    /// The longest frame of a Broker peer.
    frame_bytes = 67_108_864, 65_536..=1_073_741_824;
    /// Messages that may wait for one Broker peer.
    peer_outbox_messages = 8192, 16..=10_000_000;
    /// Bytes that may wait for one Broker peer.
    peer_outbox_bytes = 268_435_456, 65_536..=17_179_869_184;
    /// Clients on the WebSocket port.
    clients = 512, 1..=1_000_000;
    /// The same from one address.
    clients_per_address = 256, 1..=1_000_000;
    /// Connections to the WebSocket port that are no clients yet.
    client_strangers = 128, 4..=100_000;
    /// The same from one address.
    client_strangers_per_address = 64, 2..=100_000;
    /// From the end of TLS to the WebSocket upgrade.
    upgrade_secs = 10, 1..=600;
    /// From the upgrade to the subscriptions.
    subscribe_secs = 60, 1..=600;
    /// How long a client may be silent before it is sent a ping.
    silence_secs = 25, 1..=86_400;
    /// How long the answer to a ping may take, and one message to be written.
    patience_secs = 60, 1..=86_400;
    /// How much is read of what a client sends before it is answered.
    stranger_bytes = 65_536, 16_384..=16_777_216;
    /// The longest message of a client.
    message_bytes = 16_777_216, 65_536..=1_073_741_824;
    /// Bytes of longer messages that one client may send in all.
    skipped_bytes = 268_435_456, 0..=1_099_511_627_776;
    /// Messages that may wait for one client.
    client_outbox_messages = 1024, 16..=1_000_000;
    /// Bytes that may wait for one client.
    client_outbox_bytes = 16_777_216, 65_536..=1_073_741_824;
    /// Bytes that may wait for all clients together.
    all_outboxes_bytes = 33_554_432, 65_536..=17_179_869_184;
    /// Requests a second of one client or one Broker peer, for as long as it likes.
    requests_per_second = 1000, 1..=1_000_000;
    /// Requests of one client or Broker peer at once, beyond that.
    request_burst = 50_000, 1..=10_000_000;
    /// Requests of one client or Broker peer that are not answered yet.
    open_requests = 256, 1..=100_000;
}

/// As a policy file has them.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[limits]")?;
        let mut entries = self.entries().into_iter();
        entries.try_for_each(|(name, value)| writeln!(f, "{name} = {value}"))
    }
}

impl Limits {
    /// For links that come to the Broker port.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity {
            links: size(self.links),
            links_per_source: size(self.links_per_address),
            strangers: size(self.strangers),
            strangers_per_source: size(self.strangers_per_address),
        }
    }

    /// For a TLS handshake.
    #[must_use]
    pub fn tls(&self) -> Duration {
        Duration::from_secs(self.tls_secs)
    }

    /// For a client's subscriptions.
    #[must_use]
    pub fn subscribe(&self) -> Duration {
        Duration::from_secs(self.subscribe_secs)
    }

    /// For a peering endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Options {
        let limits = codec::Limits {
            frame: size(self.frame_bytes),
            ..codec::Limits::default()
        };
        Options {
            handshake_timeout: Duration::from_secs(self.handshake_secs),
            pending_links: size(self.handshakes),
            pending_links_per_source: size(self.handshakes_per_address),
            outbox: size(self.peer_outbox_messages),
            outbox_bytes: size(self.peer_outbox_bytes),
            limits,
            ..Options::default()
        }
    }

    /// The same with no more connections than this many descriptors allow. What files, links of its
    /// own and children need is set aside first; the rest is divided between both ports as the
    /// limits are to each other. `None` if that changes nothing.
    #[must_use]
    pub fn within(&self, descriptors: u64) -> Option<Self> {
        let for_links = descriptors.saturating_sub(RESERVED).max(LEAST);
        let websocket = self.clients.saturating_add(self.client_strangers);
        let wanted = self.links.saturating_add(websocket);
        if wanted <= for_links {
            return None;
        }
        let share = |limit: u64| {
            let share = u128::from(limit) * u128::from(for_links) / u128::from(wanted);
            u64::try_from(share).unwrap_or(u64::MAX).max(1)
        };
        let links = share(self.links);
        let (clients, client_strangers) = (share(self.clients), share(self.client_strangers));
        // No address may have everything.
        let of_one = |limit: u64, all: u64| limit.min((all / 2).max(1));
        Some(Self {
            links,
            links_per_address: of_one(self.links_per_address, links),
            strangers: of_one(self.strangers, links),
            strangers_per_address: of_one(self.strangers_per_address, links / 2),
            clients,
            clients_per_address: of_one(self.clients_per_address, clients),
            client_strangers,
            client_strangers_per_address: of_one(
                self.client_strangers_per_address,
                client_strangers,
            ),
            ..self.clone()
        })
    }
}

/// Descriptors for everything but links that come: standard streams, the runtime's own, listening
/// sockets, state, logs, and agents that are dialed.
const RESERVED: u64 = 256;

/// Fewer than that are of no use.
const LEAST: u64 = 64;

fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
