//! Endpoints that are not set alike: each mistake has its own text.

use std::io;

use tokio::io::AsyncReadExt;

use super::authority::{Authority, Kind};
use super::stock::{Stock, say};
use super::{LIMIT, listener, within};
use crate::io::tls::connector_and_acceptor;
use crate::peering::PeerAddr;
use crate::tls::{NameCheck, Tls};

const NO_TLS: &str = "the peer does not speak TLS (TLS is on here, is it off there?)";
const CLEARTEXT: &str =
    "the peer does not speak TLS, and certificates are required here (is TLS off there?)";
const NONE_SHOWN: &str = "the peer shows no certificate, which is required here \
                          (are Broker's ssl options set there?)";
const NO_CIPHER: &str = "the peer and this side have no cipher in common, or it wants a \
                         certificate (are certificates set on one side only?) (alert 40)";
const REQUIRED: &str = "the peer requires a certificate, and none is set here \
                        (Broker::ssl_certificate) (alert 116)";
const UNTRUSTED: &str = "the peer's certificate is not from a CA that is trusted here";
const EXPIRED: &str = "the peer's certificate has expired";
const VERSION_1: &str = "the peer's certificate is X.509 version 1, which rustls refuses \
                         (issue it again as version 3)";
const OF_CA: &str = "the peer's certificate is that of a CA, which rustls refuses \
                     (issue one for the endpoint)";
const PURPOSE: &str = "the peer's certificate is not meant for this role (extended key usage)";
const UNTRUSTED_THERE: &str = "the peer does not trust the CA of our certificate (alert 48)";
const EXPIRED_THERE: &str = "the peer refuses our certificate as expired (alert 45)";

/// Two CAs that do not know each other, and this side's options with either library.
struct World {
    ca: Authority,
    other: Authority,
    ours: [Tls; 2],
}

impl World {
    fn new() -> Self {
        let ca = Authority::new("CA");
        let ours = [
            ca.tls("rustls", Kind::Version3),
            ca.tls("openssl", Kind::Version1),
        ];
        Self {
            ca,
            other: Authority::new("other"),
            ours,
        }
    }

    /// The far side, with a certificate of the common CA.
    fn stock(&self, kind: Kind) -> Stock {
        Stock::certificates(&self.ca.issue("far", kind), &self.ca.cafile())
    }
}

#[tokio::test]
async fn dialing_a_peer_without_certificates_says_what_it_has() {
    for ours in World::new().ours {
        assert_eq!(we_dial(&ours, &Stock::Cleartext).await, NO_TLS);
        assert_eq!(we_dial(&ours, &Stock::anonymous()).await, NO_CIPHER);
    }
    assert_eq!(we_dial(&Tls::Anonymous, &Stock::Cleartext).await, NO_TLS);
}

#[tokio::test]
async fn peers_without_certificates_are_refused_by_name() {
    for ours in World::new().ours {
        for (stock, text) in [
            (Stock::Cleartext, CLEARTEXT),
            (Stock::anonymous(), NONE_SHOWN),
        ] {
            let error = they_dial(&ours, &stock).await;
            assert_eq!(error.to_string(), text);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}

#[tokio::test]
async fn refused_dialer_hears_why_even_if_it_has_begun_to_talk() {
    for ours in World::new().ours {
        let heard = both_hear(&ours, &Stock::anonymous()).await.1.unwrap();
        let alert = ["certificate required", "handshake failure"];
        assert!(alert.iter().any(|alert| heard.contains(alert)), "{heard}");
    }
}

#[tokio::test]
async fn peers_that_want_certificates_are_told_apart() {
    let world = World::new();
    let stock = world.stock(Kind::Version3);
    assert_eq!(we_dial(&Tls::Anonymous, &stock).await, REQUIRED);
    // What is self-signed here means nothing there.
    let error = they_dial(&Tls::Anonymous, &stock).await;
    assert_eq!(error.to_string(), UNTRUSTED_THERE);
}

#[tokio::test]
async fn certificates_of_other_cas_are_refused_in_both_directions() {
    let world = World::new();
    let far = world.other.issue("far", Kind::Version3);
    let stock = Stock::certificates(&far, &world.ca.cafile());
    for ours in &world.ours {
        assert_eq!(we_dial(ours, &stock).await, UNTRUSTED);
        assert_eq!(they_dial(ours, &stock).await.to_string(), UNTRUSTED);
    }
}

#[tokio::test]
async fn expired_certificates_are_refused_in_both_directions() {
    let world = World::new();
    let stock = world.stock(Kind::Expired);
    for ours in &world.ours {
        assert_eq!(we_dial(ours, &stock).await, EXPIRED);
        assert_eq!(they_dial(ours, &stock).await.to_string(), EXPIRED);
    }
}

#[tokio::test]
async fn certificates_for_other_purposes_are_refused_in_both_directions() {
    let world = World::new();
    let stock = world.stock(Kind::CodeSigning);
    for ours in &world.ours {
        assert_eq!(we_dial(ours, &stock).await, PURPOSE);
        assert_eq!(they_dial(ours, &stock).await.to_string(), PURPOSE);
    }
}

#[tokio::test]
async fn what_only_rustls_refuses_is_named() {
    let world = World::new();
    let [rustls, openssl] = &world.ours;
    for (kind, text) in [(Kind::Version1, VERSION_1), (Kind::Ca, OF_CA)] {
        let stock = world.stock(kind);
        assert_eq!(we_dial(rustls, &stock).await, text);
        assert_eq!(they_dial(rustls, &stock).await.to_string(), text);
        // OpenSSL takes it.
        let (connector, _) = connector_and_acceptor(openssl).unwrap();
        let (listener, addr) = listener().await;
        let far = async { stock.accept(listener.accept().await.unwrap().0).await };
        let (far, near) = within(async { tokio::join!(far, connector.connect(&addr)) }).await;
        assert!(far.is_ok() && near.is_ok());
    }
}

#[tokio::test]
async fn verdict_of_the_peer_on_our_certificate_is_passed_on() {
    let world = World::new();
    let far = world.ca.issue("far", Kind::Version3);
    let stock = Stock::certificates(&far, &world.other.cafile());
    for ours in &world.ours {
        assert_eq!(we_dial(ours, &stock).await, UNTRUSTED_THERE);
        assert_eq!(they_dial(ours, &stock).await.to_string(), UNTRUSTED_THERE);
    }
    let stock = world.stock(Kind::Version3);
    let ours = world.ca.tls("late", Kind::Expired);
    assert_eq!(we_dial(&ours, &stock).await, EXPIRED_THERE);
    assert_eq!(they_dial(&ours, &stock).await.to_string(), EXPIRED_THERE);
}

#[tokio::test]
async fn other_name_than_was_dialed_is_refused_if_asked_for() {
    let world = World::new();
    let stock = world.stock(Kind::Version3);
    for (kind, text) in [
        (
            Kind::Version3,
            "the peer's certificate is for another name, not for localhost \
             (but for IpAddress(127.0.0.1), DnsName(\"far.example\"))",
        ),
        (Kind::Version1, "the peer's certificate is for another name"),
    ] {
        let mut options = world.ca.options(&world.ca.issue("near", kind));
        options.name_check = NameCheck::On;
        let ours = Tls::Certificates(options);
        assert_eq!(dial("localhost", &ours, &stock).await, text);
    }
}

async fn we_dial(ours: &Tls, stock: &Stock) -> String {
    dial("127.0.0.1", ours, stock).await
}

/// Why a link that this side dials does not work: the dial fails, or the first read.
async fn dial(host: &str, ours: &Tls, stock: &Stock) -> String {
    let (connector, _) = connector_and_acceptor(ours).unwrap();
    let (listener, addr) = listener().await;
    let addr = PeerAddr {
        host: host.into(),
        ..addr
    };
    let far = async {
        // Whatever it makes of it.
        stock.accept(listener.accept().await.unwrap().0).await
    };
    let near = async {
        let mut near = connector.connect(&addr).await?.0;
        let mut buffer = [0];
        near.read_exact(&mut buffer).await
    };
    let (_far, near) = within(async { tokio::join!(far, near) }).await;
    let text = near.unwrap_err().to_string();
    let prefixes = [
        format!("cannot connect to {addr}: "),
        format!("127.0.0.1:{}: ", addr.port),
    ];
    let strip = |text: String, prefix: &String| match text.split_once(prefix) {
        Some((_, rest)) => rest.to_owned(),
        None => text,
    };
    prefixes.iter().fold(text, strip)
}

/// Why a link that the far side dials does not work.
async fn they_dial(ours: &Tls, stock: &Stock) -> io::Error {
    both_hear(ours, stock).await.0
}

/// The same, and what the dialer hears of it, at once or with its first read.
async fn both_hear(ours: &Tls, stock: &Stock) -> (io::Error, Option<String>) {
    let (_, acceptor) = connector_and_acceptor(ours).unwrap();
    let (listener, addr) = listener().await;
    let addr = addr.to_string();
    let far = async {
        let mut far = stock.dial(&addr).await?;
        say(far.as_mut(), b"ping").await;
        far.read(&mut [0]).await
    };
    let near = async {
        acceptor
            .accept(listener.accept().await.unwrap().0, LIMIT)
            .await
    };
    let (far, near) = within(async { tokio::join!(far, near) }).await;
    (near.unwrap_err(), far.err().map(|error| error.to_string()))
}
