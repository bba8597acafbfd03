//! The far side: OpenSSL, set up as stock sets it up.

use std::io;
use std::path::Path;
use std::pin::Pin;

use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslVerifyMode, SslVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::authority::Identity;

/// One endpoint of stock.
#[derive(Clone)]
pub(super) enum Stock {
    Cleartext,
    Tls(SslContext),
}

/// Any stream.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Stock {
    /// WIRE §7.1.
    pub(super) fn anonymous() -> Self {
        let mut context = context();
        context
            .set_cipher_list("AECDH-AES256-SHA@SECLEVEL=0")
            .unwrap();
        context.set_groups_list("P-384").unwrap();
        context.set_verify(SslVerifyMode::NONE);
        Self::Tls(context.build())
    }

    /// WIRE §7.2.
    pub(super) fn certificates(identity: &Identity, cafile: &Path) -> Self {
        let mut context = context();
        context.set_cipher_list("HIGH:!aNULL:!MD5").unwrap();
        context
            .set_certificate_chain_file(&identity.certificate)
            .unwrap();
        context
            .set_private_key_file(&identity.keyfile, SslFiletype::PEM)
            .unwrap();
        context.set_ca_file(cafile).unwrap();
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        Self::Tls(context.build())
    }

    /// Accepts, as far as it gets. In cleartext it sends a probe first, in its frame (WIRE §4.2).
    pub(super) async fn accept(&self, mut tcp: TcpStream) -> io::Result<Box<dyn Duplex>> {
        match self {
            Self::Cleartext => {
                tcp.write_all(b"\0\0\0\x05\x07ZEEK").await?;
                Ok(Box::new(tcp))
            }
            Self::Tls(context) => {
                let mut tls = SslStream::new(Ssl::new(context)?, tcp)?;
                Pin::new(&mut tls)
                    .accept()
                    .await
                    .map_err(io::Error::other)?;
                Ok(Box::new(tls))
            }
        }
    }

    /// Dials, as far as it gets.
    pub(super) async fn dial(&self, addr: &str) -> io::Result<Box<dyn Duplex>> {
        let tcp = TcpStream::connect(addr).await?;
        match self {
            Self::Cleartext => Ok(Box::new(tcp)),
            Self::Tls(context) => {
                let mut tls = SslStream::new(Ssl::new(context)?, tcp)?;
                Pin::new(&mut tls)
                    .connect()
                    .await
                    .map_err(io::Error::other)?;
                Ok(Box::new(tls))
            }
        }
    }
}

fn context() -> SslContextBuilder {
    let mut context = SslContext::builder(SslMethod::tls()).unwrap();
    context
        .set_min_proto_version(Some(SslVersion::TLS1_2))
        .unwrap();
    context
}

/// Says four bytes.
pub(super) async fn say(stream: &mut (impl AsyncWrite + Unpin + ?Sized), word: &[u8; 4]) {
    stream.write_all(word).await.unwrap();
    stream.flush().await.unwrap();
}

/// Hears four bytes.
pub(super) async fn hear(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> [u8; 4] {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}
