//! Which library speaks TLS with certificates, and how it is set up.

use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    SslContext, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tracing::{info, warn};

use super::explain::Flaw;
use super::load::{Material, Trust, display_name};
use super::verify::Verifier;
use super::{TlsError, TlsErrors};
use crate::tls::{Certificates, NameCheck};

/// TLS with certificates for both roles.
#[derive(Clone)]
pub(super) enum Backend {
    Rustls {
        dialing: Arc<ClientConfig>,
        accepting: Arc<ServerConfig>,
    },
    /// One context serves both roles, as in stock.
    OpenSsl(SslContext),
}

impl Backend {
    /// rustls where it takes the own certificate, key and CAs; else OpenSSL. Says which and why.
    pub(super) fn choose(options: &Certificates) -> Result<Self, TlsErrors> {
        let material = Material::load(options)?;
        let certificate = display_name(material.certificate.subject_name());
        let roots = material.trust.roots.len();
        let backend = match with_rustls(&material, options.name_check) {
            Ok(backend) => {
                info!(certificate, roots, "TLS with certificates, by rustls");
                backend
            }
            Err(reason) => {
                info!(certificate, roots, %reason, "TLS with certificates, by OpenSSL");
                Self::OpenSsl(with_openssl(&material).map_err(TlsError::OpenSsl)?)
            }
        };
        Ok(backend)
    }
}

impl Backend {
    /// For a port whose clients are not asked for certificates.
    pub(super) fn server_only(material: &Material) -> Result<Arc<ServerConfig>, Refusal> {
        let provider = Arc::new(ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(material.key.private_key_to_pkcs8()?);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(material.shown()?, key.into())?;
        Ok(without_resumption(config))
    }

    /// For a port whose clients are no Broker peers and have certificates all the same.
    pub(super) fn server_with_clients(material: &Material) -> Result<Arc<ServerConfig>, Refusal> {
        match with_rustls(material, NameCheck::Off)? {
            Self::Rustls { accepting, .. } => Ok(accepting),
            Self::OpenSsl(_) => Err(Refusal::new("OpenSSL is needed")),
        }
    }
}

/// Why rustls cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the certificate of the CA '{name}': {flaw}")]
    Root { name: String, flaw: Flaw },
    #[error("the own certificate {0}")]
    Own(Flaw),
    #[error("{0}")]
    Setup(String),
}

impl Refusal {
    pub(super) fn new(reason: &str) -> Self {
        Self::Setup(reason.to_owned())
    }
}

impl From<rustls::Error> for Refusal {
    fn from(error: rustls::Error) -> Self {
        Self::Setup(error.to_string())
    }
}

impl From<ErrorStack> for Refusal {
    fn from(error: ErrorStack) -> Self {
        Self::Setup(error.to_string())
    }
}

fn with_rustls(material: &Material, name_check: NameCheck) -> Result<Backend, Refusal> {
    // Named here, because a process-wide default would depend on who comes first.
    let provider = Arc::new(ring::default_provider());
    let chain = material.shown()?;
    let key = PrivatePkcs8KeyDer::from(material.key.private_key_to_pkcs8()?);
    let intermediates = ders(&material.trust.intermediates)?;
    let verifier = Verifier::new(
        roots(&material.trust)?,
        intermediates,
        &provider,
        name_check,
    )
    .map_err(|error| Refusal::Setup(error.to_string()))?;
    if let Some((own, others)) = chain.split_first()
        && let Err(error) = verifier.check_chain(own, others, UnixTime::now())
    {
        judge_own(Flaw::from_rustls(&error))?;
    }
    let verifier = Arc::new(verifier);

    let mut dialing = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_auth_cert(chain.clone(), key.clone_key().into())?;
    dialing.enable_sni = false;
    // Stock's acceptor hands out tickets and fails on those that present one (WIRE §7).
    dialing.resumption = Resumption::disabled();

    let accepting = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key.into())?;
    Ok(Backend::Rustls {
        dialing: Arc::new(dialing),
        accepting: without_resumption(accepting),
    })
}

/// Nobody resumes.
fn without_resumption(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

impl Material {
    /// The own certificate and what is shown beside it.
    fn shown(&self) -> Result<Vec<CertificateDer<'static>>, ErrorStack> {
        let mut shown = vec![CertificateDer::from(self.certificate.to_der()?)];
        shown.extend(ders(&self.chain)?);
        Ok(shown)
    }
}

/// What rustls would hold against our certificate tells which library to use: the peers', made by
/// the same hand, will be alike. What OpenSSL would refuse as well is no reason to change.
fn judge_own(flaw: Flaw) -> Result<(), Refusal> {
    match flaw {
        Flaw::Expired | Flaw::NotYetValid | Flaw::Purpose => {
            warn!("peers will refuse the own certificate: it {flaw}");
            Ok(())
        }
        // Both sides may well have different CAs.
        Flaw::Untrusted | Flaw::Name(_) => Ok(()),
        Flaw::Version1 | Flaw::CaAsPeer | Flaw::Other(_) => Err(Refusal::Own(flaw)),
    }
}

fn roots(trust: &Trust) -> Result<RootCertStore, Refusal> {
    let mut roots = RootCertStore::empty();
    for root in &trust.roots {
        let der = CertificateDer::from(root.to_der()?);
        roots.add(der).map_err(|error| Refusal::Root {
            name: display_name(root.subject_name()),
            flaw: Flaw::from_rustls(&error),
        })?;
    }
    Ok(roots)
}

fn ders(certificates: &[X509]) -> Result<Vec<CertificateDer<'static>>, ErrorStack> {
    certificates
        .iter()
        .map(|certificate| Ok(CertificateDer::from(certificate.to_der()?)))
        .collect()
}

/// Stock: connector.cc, `ssl_context_from_cfg`.
fn with_openssl(material: &Material) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls())?;
    // What waits to be written may move in memory meanwhile.
    builder.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER);
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cipher_list("HIGH:!aNULL:!MD5")?;
    builder.set_certificate(&material.certificate)?;
    for certificate in &material.chain {
        builder.add_extra_chain_cert(certificate.clone())?;
    }
    builder.set_private_key(&material.key)?;
    let mut store = X509StoreBuilder::new()?;
    let Trust {
        roots,
        intermediates,
    } = &material.trust;
    for certificate in roots.iter().chain(intermediates) {
        store.add_cert(certificate.clone())?;
    }
    builder.set_cert_store(store.build());
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0)?;
    builder.set_options(SslOptions::NO_TICKET | SslOptions::IGNORE_UNEXPECTED_EOF);
    Ok(builder.build())
}
