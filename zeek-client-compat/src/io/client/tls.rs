//! The client's end of TLS, with zeek-client's parameters (CLIENT §B2).

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::Path;

use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslStream, SslVerifyMode,
    SslVersion,
};

use crate::protection::Protection;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, or not what it should be.
    #[error("{path}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library refuses.
    #[error("cannot set up TLS")]
    Setup(#[from] openssl::error::ErrorStack),
    /// The two ends do not agree.
    #[error("the TLS handshake failed")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Does the handshake with the server that goes by this name.
pub(super) fn connect(
    protection: &Protection,
    host: &str,
    stream: TcpStream,
) -> Result<SslStream<TcpStream>, TlsError> {
    let context = context(protection)?;
    let mut ssl = Ssl::new(&context)?;
    let address: Result<IpAddr, _> = host.parse();
    match address {
        Ok(address) if protection.certificate.is_some() => ssl.param_mut().set_ip(address)?,
        Ok(_) => {}
        Err(_) => {
            ssl.set_hostname(host)?;
            if protection.certificate.is_some() {
                ssl.param_mut().set_host(host)?;
            }
        }
    }
    let connected = ssl.connect(stream);
    connected.map_err(|error| TlsError::Handshake(error.to_string().into()))
}

fn context(protection: &Protection) -> Result<SslContext, TlsError> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let Some(certificate) = &protection.certificate else {
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_cipher_list("AECDH-AES256-SHA@SECLEVEL=0")?;
        return Ok(builder.build());
    };
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_cipher_list("HIGH:!aNULL:!MD5")?;
    let loaded = builder.set_certificate_chain_file(certificate);
    loaded.map_err(|source| file_error(certificate, source))?;
    let keyfile = protection.keyfile.as_ref().unwrap_or(certificate);
    load_key(&mut builder, keyfile, protection.passphrase.as_deref())?;
    let (cafile, capath) = (protection.cafile.as_deref(), protection.capath.as_deref());
    match cafile.or(capath) {
        Some(named) => {
            let loaded = builder.load_verify_locations(cafile, capath);
            loaded.map_err(|source| file_error(named, source))?;
        }
        None => builder.set_default_verify_paths()?,
    }
    Ok(builder.build())
}

/// Without a passphrase nobody is asked for one.
fn load_key(
    builder: &mut SslContextBuilder,
    path: &Path,
    passphrase: Option<&str>,
) -> Result<(), TlsError> {
    let Some(passphrase) = passphrase else {
        let loaded = builder.set_private_key_file(path, SslFiletype::PEM);
        return loaded.map_err(|source| file_error(path, source));
    };
    let pem = fs::read(path).map_err(|source| file_error(path, source))?;
    let key = PKey::private_key_from_pem_passphrase(&pem, passphrase.as_bytes());
    let key = key.map_err(|source| file_error(path, source))?;
    Ok(builder.set_private_key(&key)?)
}

fn file_error(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        source: Box::new(source),
    }
}
