//! A port for clients that are no Broker peers: TLS with the operator's certificate.

use std::path::Path;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslMode, SslVerifyMode, SslVersion};
use openssl::ssl::{SslOptions, SslSessionCacheMode};
use openssl::x509::store::X509StoreBuilder;
use tokio_rustls::rustls::ServerConfig;
use tracing::info;

use super::backend::{Backend, Refusal};
use super::load::{Material, display_name};
use super::{TlsError, TlsErrors};
use crate::tls::{Admission, ClientPort};

/// Who speaks TLS on such a port.
#[derive(Clone)]
pub(super) enum Speaker {
    Rustls(Arc<ServerConfig>),
    OpenSsl(SslContext),
}

impl Speaker {
    /// rustls, unless only OpenSSL can do what the options say. Says which and why.
    pub(super) fn choose(port: &ClientPort) -> Result<Self, TlsErrors> {
        let material = Material::load_for_clients(port)?;
        let certificate = display_name(material.certificate.subject_name());
        let refusal = match with_rustls(port, &material) {
            Ok(config) => {
                info!(certificate, "TLS for clients, by rustls");
                return Ok(Self::Rustls(config));
            }
            Err(refusal) => refusal,
        };
        info!(certificate, reason = %refusal, "TLS for clients, by OpenSSL");
        let context = with_openssl(port, &material).map_err(TlsError::OpenSsl)?;
        Ok(Self::OpenSsl(context))
    }
}

fn with_rustls(port: &ClientPort, material: &Material) -> Result<Arc<ServerConfig>, Refusal> {
    if port.ciphers.is_some() {
        return Err(Refusal::new("ciphers are chosen"));
    }
    match port.admission {
        Admission::Anyone => Backend::server_only(material),
        Admission::Certified(_) => Backend::server_with_clients(material),
        Admission::CertifiedBySystem => Err(Refusal::new("the system's CAs are trusted")),
    }
}

/// Stock: IXSocketOpenSSL.cpp, `openSSLServerHandshake`, as Zeek's WebSocket server sets it up.
fn with_openssl(port: &ClientPort, material: &Material) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls())?;
    // What waits to be written may move in memory meanwhile.
    builder.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER);
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let ciphers = port.ciphers.as_deref().unwrap_or("HIGH:!aNULL:!MD5");
    builder.set_cipher_list(ciphers)?;
    builder.set_certificate(&material.certificate)?;
    for certificate in &material.chain {
        builder.add_extra_chain_cert(certificate.clone())?;
    }
    builder.set_private_key(&material.key)?;
    admit(&mut builder, &port.admission, material)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0)?;
    builder.set_options(SslOptions::NO_TICKET | SslOptions::IGNORE_UNEXPECTED_EOF);
    Ok(builder.build())
}

fn admit(
    builder: &mut SslContextBuilder,
    admission: &Admission,
    material: &Material,
) -> Result<(), ErrorStack> {
    match admission {
        Admission::Anyone => {
            builder.set_verify(SslVerifyMode::NONE);
            return Ok(());
        }
        Admission::Certified(_) => {
            let mut store = X509StoreBuilder::new()?;
            let trust = &material.trust;
            for certificate in trust.roots.iter().chain(&trust.intermediates) {
                store.add_cert(certificate.clone())?;
            }
            builder.set_cert_store(store.build());
        }
        Admission::CertifiedBySystem => {
            builder.set_default_verify_paths()?;
            // A vendored OpenSSL does not know where the system has them.
            let bundle = SYSTEM_CAS.iter().find(|file| Path::new(file).is_file());
            if let Some(bundle) = bundle {
                builder.set_ca_file(bundle)?;
            }
        }
    }
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}

/// Debian and its like, Red Hat and its like, SUSE, Alpine and the BSDs.
const SYSTEM_CAS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
