//! A port for clients that are no Broker peers, against OpenSSL set up as zeek-client does it
//! (CLIENT §B2).

use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::verify::X509CheckFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::authority::{Authority, Identity, Kind};
use super::{LIMIT, listener, within};
use crate::io::tls::{Acceptor, Inner, Stream, TlsError};
use crate::tls::{Admission, ClientPort};

const ANSWER: &[u8] = b"speak TLS";

/// What a client is set up with.
#[derive(Clone)]
enum Client {
    /// No certificate and no verification, in TLS 1.2 or newer.
    Bare,
    /// The same in TLS 1.2 only.
    Old,
    /// A certificate; verifies the chain and the address.
    Certified(Identity, PathBuf),
    /// Only verifies.
    Careful(PathBuf),
}

fn port(identity: &Identity) -> ClientPort {
    ClientPort {
        certificate: identity.certificate.clone(),
        keyfile: identity.keyfile.clone(),
        ..ClientPort::default()
    }
}

#[tokio::test]
async fn clients_see_the_operators_certificate() {
    let authority = Authority::new("ca");
    let careful = Client::Careful(authority.cafile());
    for kind in [Kind::Version3, Kind::Rsa] {
        let port = port(&authority.issue("controller", kind));
        assert_eq!(talk(&port, careful.clone()).await.unwrap(), "TLSv1.3");
        assert_eq!(talk(&port, Client::Bare).await.unwrap(), "TLSv1.3");
    }
    let stranger = Authority::new("other");
    let port = port(&stranger.issue("controller", Kind::Version3));
    assert!(talk(&port, careful).await.is_err());
}

#[tokio::test]
async fn clients_in_cleartext_are_told_and_let_go() {
    let authority = Authority::new("ca");
    let port = port(&authority.issue("controller", Kind::Version3));
    let acceptor = Acceptor::for_clients(&port, ANSWER).unwrap();
    let (listener, addr) = listener().await;
    let mut tcp = TcpStream::connect(addr.to_string()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let accepted = listener.accept().await.unwrap().0;
    let mut heard = Vec::new();
    let (refused, read) = within(async {
        let read = async {
            let read = tcp.read_to_end(&mut heard).await;
            drop(tcp);
            read
        };
        tokio::join!(acceptor.accept(accepted, LIMIT), read)
    })
    .await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    read.unwrap();
    assert_eq!(heard, ANSWER);
}

#[tokio::test]
async fn only_certified_clients_enter_where_certificates_are_asked_for() {
    let authority = Authority::new("ca");
    let stranger = Authority::new("other");
    let own = authority.issue("controller", Kind::Version3);
    let admission = Admission::Certified(authority.cafile());
    let by_rustls = ClientPort {
        admission,
        ..port(&own)
    };
    let by_openssl = ClientPort {
        ciphers: Some("HIGH:!aNULL:!MD5".to_owned()),
        ..by_rustls.clone()
    };
    let client = authority.issue("client", Kind::Version3);
    let foreign = stranger.issue("client", Kind::Version3);
    for port in [by_rustls, by_openssl] {
        let client = Client::Certified(client.clone(), authority.cafile());
        assert!(talk(&port, client).await.is_ok());
        for refused in [
            Client::Careful(authority.cafile()),
            Client::Certified(foreign.clone(), authority.cafile()),
        ] {
            let error = talk(&port, refused).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
    }
    let by_system = ClientPort {
        admission: Admission::CertifiedBySystem,
        ..port(&own)
    };
    let client = Client::Certified(client, authority.cafile());
    assert!(talk(&by_system, client).await.is_err());
}

#[tokio::test]
async fn only_verified_clients_have_a_certificate() {
    let authority = Authority::new("ca");
    let own = authority.issue("controller", Kind::Version3);
    let client = Client::Certified(
        authority.issue("client", Kind::Version3),
        authority.cafile(),
    );
    let by_rustls = ClientPort {
        admission: Admission::Certified(authority.cafile()),
        ..port(&own)
    };
    let by_openssl = ClientPort {
        ciphers: Some("HIGH:!aNULL:!MD5".to_owned()),
        ..by_rustls.clone()
    };
    for certified in [by_rustls, by_openssl] {
        let stream = stream(&certified, client.clone()).await;
        let certificate = stream.certificate().unwrap();
        assert_eq!(certificate.name.as_deref(), Some("client"));
    }
    let stream = stream(&port(&own), client).await;
    assert_eq!(stream.certificate(), None);
}

/// The recipe of stock's documentation for clients that know only anonymous ECDH.
#[tokio::test]
async fn ciphers_are_taken_as_openssl_writes_them() {
    let authority = Authority::new("ca");
    let recipe = "AECDH-AES256-SHA@SECLEVEL=0:AECDH-AES256-SHA:P-384".to_owned();
    let plain = port(&authority.issue("controller", Kind::Version3));
    let anonymous = ClientPort {
        ciphers: Some(recipe),
        ..plain.clone()
    };
    assert_eq!(talk(&anonymous, Client::Old).await.unwrap(), "TLSv1.2");
    assert!(talk(&plain, Client::Old).await.is_err());
    let wrong = ClientPort {
        ciphers: Some("no such cipher".to_owned()),
        ..plain
    };
    let error = Acceptor::for_clients(&wrong, ANSWER).unwrap_err();
    assert!(matches!(error.0[..], [TlsError::OpenSsl(_)]), "{error}");
}

#[tokio::test]
async fn openssl_serves_what_rustls_does_not_take() {
    let authority = Authority::new("ca");
    let port = port(&authority.issue("controller", Kind::Version1));
    assert_eq!(talk(&port, Client::Bare).await.unwrap(), "TLSv1.3");
}

#[test]
fn files_that_do_not_do_are_named() {
    let authority = Authority::new("ca");
    let own = authority.issue("controller", Kind::Version3);
    let other = authority.issue("other", Kind::Version3);
    let error = |port: ClientPort| Acceptor::for_clients(&port, ANSWER).unwrap_err();
    let missing = ClientPort {
        certificate: "/nowhere/cert.pem".into(),
        ..port(&own)
    };
    assert_eq!(
        error(missing).to_string(),
        "Cluster::WebSocketTLSOptions$cert_file: /nowhere/cert.pem: \
         No such file or directory (os error 2)"
    );
    let mismatch = ClientPort {
        keyfile: other.keyfile,
        ..port(&own)
    };
    assert!(matches!(
        error(mismatch).0[..],
        [TlsError::KeyMismatch { .. }]
    ));
    let no_ca = ClientPort {
        admission: Admission::Certified(own.keyfile.clone()),
        ..port(&own)
    };
    assert!(matches!(
        error(no_ca).0[..],
        [TlsError::NoCertificate { .. }]
    ));
}

/// The server's end of one client's connection.
async fn stream(port: &ClientPort, client: Client) -> Stream {
    let acceptor = Acceptor::for_clients(port, ANSWER).unwrap();
    let (listener, addr) = listener().await;
    let accept = async {
        let tcp = listener.accept().await.unwrap().0;
        acceptor.accept(tcp, LIMIT).await.unwrap()
    };
    let dial = async {
        let tcp = TcpStream::connect(addr.to_string()).await.unwrap();
        let mut tls = SslStream::new(client.ssl(), tcp).unwrap();
        Pin::new(&mut tls).connect().await.unwrap();
        tls
    };
    within(async { tokio::join!(accept, dial) }).await.0
}

/// One client says something and is answered; the version of TLS.
async fn talk(port: &ClientPort, client: Client) -> io::Result<String> {
    let acceptor = Acceptor::for_clients(port, ANSWER).unwrap();
    let (listener, addr) = listener().await;
    let accept = async {
        let tcp = listener.accept().await?.0;
        let mut stream = acceptor.accept(tcp, LIMIT).await?;
        assert!(matches!(stream.inner, Inner::Rustls(_) | Inner::OpenSsl(_)));
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await?;
        stream.write_all(&heard).await?;
        stream.flush().await
    };
    let dial = async {
        let tcp = TcpStream::connect(addr.to_string()).await?;
        let mut tls = SslStream::new(client.ssl(), tcp)?;
        Pin::new(&mut tls)
            .connect()
            .await
            .map_err(io::Error::other)?;
        tls.write_all(b"ping").await?;
        let mut heard = [0; 4];
        tls.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"ping");
        Ok::<_, io::Error>(tls.ssl().version_str().to_owned())
    };
    let (accepted, dialed) = within(async { tokio::join!(accept, dial) }).await;
    accepted?;
    dialed
}

impl Client {
    fn ssl(&self) -> Ssl {
        let mut context = SslContext::builder(SslMethod::tls()).unwrap();
        context.set_verify(SslVerifyMode::NONE);
        let cafile = match self {
            Self::Bare | Self::Old => {
                context
                    .set_cipher_list("AECDH-AES256-SHA@SECLEVEL=0")
                    .unwrap();
                None
            }
            Self::Certified(identity, cafile) => {
                context
                    .set_certificate_chain_file(&identity.certificate)
                    .unwrap();
                context
                    .set_private_key_file(&identity.keyfile, SslFiletype::PEM)
                    .unwrap();
                Some(cafile)
            }
            Self::Careful(cafile) => Some(cafile),
        };
        if matches!(self, Self::Old) {
            context
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
        }
        let Some(cafile) = cafile else {
            return Ssl::new(&context.build()).unwrap();
        };
        context.set_ca_file(cafile).unwrap();
        context.set_verify(SslVerifyMode::PEER);
        let mut ssl = Ssl::new(&context.build()).unwrap();
        let check = ssl.param_mut();
        check.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
        check.set_ip("127.0.0.1".parse().unwrap()).unwrap();
        ssl
    }
}
