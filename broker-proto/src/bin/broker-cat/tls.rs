//! How links are protected, from the command line.

use std::path::PathBuf;

use broker_proto::tls::{Certificates, NameCheck, Passphrase, Tls};
use clap::{Args, ValueEnum};

/// Options for every command that has peers.
#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// How to dial if no certificates are given: in cleartext, or as Zeek does without
    /// certificates.
    #[arg(long, value_enum, default_value_t = Protection::Anonymous, conflicts_with_all = CERTIFICATES)]
    tls: Protection,
    /// Own certificate, then the intermediates up to the CA: a PEM file, Broker::ssl_certificate.
    ///
    /// This option or one of the next four turns certificates on, for both sides of every link:
    /// a peer without one is refused. Certificate, key and CAs have to be given then.
    #[arg(long, value_name = "FILE")]
    ssl_certificate: Option<PathBuf>,
    /// The certificate's private key: a PEM file, Broker::ssl_keyfile.
    #[arg(long, value_name = "FILE")]
    ssl_keyfile: Option<PathBuf>,
    /// For an encrypted key, Broker::ssl_passphrase. Other users of this machine can read it in
    /// the list of processes.
    #[arg(long, value_name = "TEXT", value_parser = passphrase)]
    ssl_passphrase: Option<Passphrase>,
    /// The CAs whose certificates are taken from peers: a PEM file, Broker::ssl_cafile.
    #[arg(long, value_name = "FILE")]
    ssl_cafile: Option<PathBuf>,
    /// A directory with more of them, Broker::ssl_capath.
    #[arg(long, value_name = "DIR")]
    ssl_capath: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Protection {
    /// No TLS; for a Zeek with Broker::disable_ssl=T.
    Off,
    /// TLS that checks nobody; what Zeek does unless told otherwise.
    Anonymous,
}

impl From<TlsArgs> for Tls {
    fn from(args: TlsArgs) -> Self {
        let certificates = Certificates {
            certificate: args.ssl_certificate,
            keyfile: args.ssl_keyfile,
            passphrase: args.ssl_passphrase,
            cafile: args.ssl_cafile,
            capath: args.ssl_capath,
            name_check: NameCheck::Off,
        };
        if certificates != Certificates::default() {
            return Self::Certificates(certificates);
        }
        match args.tls {
            Protection::Off => Self::Off,
            Protection::Anonymous => Self::Anonymous,
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "clap asks for a `Result`")]
fn passphrase(text: &str) -> Result<Passphrase, String> {
    Ok(Passphrase::new(text.to_owned()))
}

const CERTIFICATES: [&str; 5] = [
    "ssl_certificate",
    "ssl_keyfile",
    "ssl_passphrase",
    "ssl_cafile",
    "ssl_capath",
];
