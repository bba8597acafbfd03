//! The certificates of a running program: read at start, read again when told to, and watched for
//! their end.

use std::path::Path;
use std::time::Duration;

use broker_proto::PeerCertificate;
use broker_proto::io::tls::{Acceptor, Connector, TlsErrors, connector_and_acceptor};
use broker_proto::io::transport::Transport;
use broker_proto::peering;
use broker_proto::tls::{Admission, ClientPort, Tls};
use tokio::time::Instant;
use tracing::{error, info, warn};
use zeek_client_compat::hub;
use zeek_client_compat::io::server::TLS_REQUIRED;

use super::certificates;
use crate::certificate::expiry::{Ending, Holder, Watch};
use crate::controller::process::Input;

/// How a program's links are protected, and by which certificates.
pub(super) struct Keyring {
    tls: Tls,
    clients: Option<ClientPort>,
    connector: Connector,
    acceptor: Acceptor,
    /// Lets WebSocket clients in.
    pub(super) client_acceptor: Acceptor,
    watch: Watch,
    next_look: Instant,
    /// Something was shown, or the own ones were read, or a day has passed, since [`Self::ending`].
    has_news: bool,
    /// What [`Self::ending`] said last.
    said: Vec<String>,
}

/// Whether a program with these settings could start.
///
/// # Errors
/// All that is wrong with the files that they name.
pub fn check(tls: &Tls, clients: Option<&ClientPort>) -> Result<(), TlsErrors> {
    acceptors(tls, clients).map(drop)
}

impl Keyring {
    /// Reads all files.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(super) fn load(tls: Tls, clients: Option<ClientPort>) -> Result<Self, TlsErrors> {
        let (connector, acceptor, client_acceptor) = acceptors(&tls, clients.as_ref())?;
        let mut keyring = Self {
            tls,
            clients,
            connector,
            acceptor,
            client_acceptor,
            watch: Watch::default(),
            next_look: Instant::now() + A_DAY,
            has_news: false,
            said: Vec::new(),
        };
        keyring.look_at_own();
        Ok(keyring)
    }

    /// Reads all files again, for the links to come. If something is wrong with one, all stay as
    /// they were.
    pub(super) fn reload(&mut self) {
        let has_files = matches!(self.tls, Tls::Certificates(_)) || self.clients.is_some();
        if !has_files {
            return;
        }
        match acceptors(&self.tls, self.clients.as_ref()) {
            Ok((connector, acceptor, client_acceptor)) => {
                if let Tls::Certificates(_) = self.tls {
                    self.connector.replace(&connector);
                    self.acceptor.replace(&acceptor);
                }
                if self.clients.is_some() {
                    self.client_acceptor.replace(&client_acceptor);
                }
                info!("certificates are read again");
                self.look_at_own();
            }
            Err(errors) => {
                for error in errors.to_string().lines() {
                    error!(error, "certificates stay as they were");
                }
            }
        }
    }

    /// Sockets for peers.
    pub(super) fn transport(&self, listen_retry: Duration) -> Transport {
        Transport::new(self.connector.clone(), self.acceptor.clone()).listen_retry(listen_retry)
    }

    /// A controller is told this.
    pub(super) fn on_input(&mut self, input: &Input) {
        match input {
            Input::Broker(input) => self.on_peering(input),
            Input::WebSocket(hub::Input::Opened { certificate, .. }) => {
                self.on_shown(certificate.as_deref());
            }
            Input::WebSocket(_)
            | Input::Saved { .. }
            | Input::Policy(_)
            | Input::Ending(_)
            | Input::Shutdown => {}
        }
    }

    /// An endpoint is to be told this.
    pub(super) fn seen(&mut self, input: peering::Input) -> peering::Input {
        self.on_peering(&input);
        input
    }

    fn on_peering(&mut self, input: &peering::Input) {
        if let peering::Input::Opened { certificate, .. } = input {
            self.on_shown(certificate.as_deref());
        }
    }

    /// The certificates that run out, the own ones and those of peers, if that is not what was said last.
    pub(super) fn ending(&mut self) -> Option<Vec<String>> {
        if !std::mem::take(&mut self.has_news) {
            return None;
        }
        let ending = self.watch.all_ending(certificates::now());
        let ending: Vec<String> = ending.iter().map(ToString::to_string).collect();
        let is_news = ending != self.said;
        self.said.clone_from(&ending);
        is_news.then_some(ending)
    }

    fn on_shown(&mut self, certificate: Option<&PeerCertificate>) {
        if let Some(certificate) = certificate {
            self.watch
                .peer(certificate.to_string(), certificate.not_after);
            self.has_news = true;
            tell(self.watch.news(certificates::now()));
        }
    }

    /// Waits for the day's look at all certificates, and does that. Cancel safe.
    pub(super) async fn watch(&mut self) {
        tokio::time::sleep_until(self.next_look).await;
        self.next_look = Instant::now() + A_DAY;
        self.has_news = true;
        tell(self.watch.daily(certificates::now()));
    }

    fn look_at_own(&mut self) {
        let mut own = Vec::new();
        if let Tls::Certificates(files) = &self.tls {
            own.extend(files.certificate.as_deref().map(|file| (file, Part::Own)));
            own.extend(
                files
                    .cafile
                    .as_deref()
                    .map(|file| (file, Part::Authorities)),
            );
        }
        if let Some(port) = &self.clients {
            own.push((&port.certificate, Part::Own));
            if let Admission::Certified(file) = &port.admission {
                own.push((file, Part::Authorities));
            }
        }
        let own: Vec<_> = own
            .into_iter()
            .flat_map(|(file, part)| ends(file, part))
            .collect();
        self.watch.own(own);
        self.has_news = true;
        tell(self.watch.news(certificates::now()));
    }
}

/// What the files of one role are for.
#[derive(Clone, Copy)]
enum Part {
    Own,
    Authorities,
}

/// When what is in a file ends; TLS has read it, so whatever does not read here matters to nobody.
fn ends(file: &Path, part: Part) -> Vec<(Holder, i64)> {
    let found = certificates::all_in(file);
    match part {
        // A chain is of no use from the day on which its first link ends.
        Part::Own => {
            let first = found.iter().map(|it| it.not_after).min();
            let end = first.map(|not_after| (Holder::Own(file.to_owned()), not_after));
            end.into_iter().collect()
        }
        Part::Authorities => {
            let holder = |name| Holder::Authority(file.to_owned(), name);
            let ends = found
                .into_iter()
                .map(|it| (holder(it.subject), it.not_after));
            ends.collect()
        }
    }
}

/// The WebSocket port without a certificate of its own takes cleartext and TLS alike: Broker's
/// certificates are not for its clients.
fn acceptors(
    tls: &Tls,
    clients: Option<&ClientPort>,
) -> Result<(Connector, Acceptor, Acceptor), TlsErrors> {
    let client_acceptor = match clients {
        Some(port) => Acceptor::for_clients(port, TLS_REQUIRED),
        None => Ok(Acceptor::self_signed()),
    };
    match (connector_and_acceptor(tls), client_acceptor) {
        (Ok((connector, acceptor)), Ok(clients)) => Ok((connector, acceptor, clients)),
        (broker, clients) => {
            let problems = [broker.err(), clients.err()];
            let problems = problems.into_iter().flatten().flat_map(|errors| errors.0);
            Err(TlsErrors(problems.collect()))
        }
    }
}

fn tell(news: Vec<Ending>) {
    for ending in news {
        let remedy = ending.holder.remedy();
        warn!(remedy, "{ending}");
    }
}

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
