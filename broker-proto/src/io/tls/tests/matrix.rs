//! Every way of protection, whoever dials, against OpenSSL set up as stock's.

use std::fs;

use super::authority::{Authority, Kind};
use super::stock::{Stock, hear, say};
use super::{Inner, LIMIT, listener, within};
use crate::io::tls::{TlsErrors, connector_and_acceptor};
use crate::tls::{Certificates, NameCheck, Passphrase, Tls};

/// Which library has a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Nobody,
    Rustls,
    OpenSsl,
}

#[tokio::test]
async fn cleartext_works_whoever_dials() {
    assert_eq!(we_dial(&Tls::Off, &Stock::Cleartext).await, By::Nobody);
    assert_eq!(they_dial(&Tls::Off, &Stock::Cleartext).await, By::Nobody);
}

// WIRE §7.1, §7.3.
#[tokio::test]
async fn anonymous_tls_works_whoever_dials() {
    let (tls, stock) = (Tls::Anonymous, Stock::anonymous());
    assert_eq!(we_dial(&tls, &stock).await, By::OpenSsl);
    assert_eq!(they_dial(&tls, &stock).await, By::Rustls);
}

#[tokio::test]
async fn acceptor_without_certificates_takes_every_dialer_without_them() {
    assert_eq!(they_dial(&Tls::Off, &Stock::anonymous()).await, By::Rustls);
    let tls = Tls::Anonymous;
    assert_eq!(they_dial(&tls, &Stock::Cleartext).await, By::Nobody);
}

// WIRE §7.2.
#[tokio::test]
async fn certificates_work_whoever_dials() {
    let ca = Authority::new("CA");
    let far = ca.issue("far", Kind::Version3);
    let stock = Stock::certificates(&far, &ca.cafile());
    for kind in [Kind::Version3, Kind::Rsa] {
        let tls = ca.tls("near", kind);
        assert_eq!(we_dial(&tls, &stock).await, By::Rustls, "{kind:?}");
        assert_eq!(they_dial(&tls, &stock).await, By::Rustls, "{kind:?}");
    }
}

#[tokio::test]
async fn openssl_takes_over_for_certificates_that_rustls_refuses() {
    let ca = Authority::new("CA");
    for kind in [Kind::Version1, Kind::Ca] {
        let far = ca.issue("far", kind);
        let stock = Stock::certificates(&far, &ca.cafile());
        let tls = ca.tls("near", kind);
        assert_eq!(we_dial(&tls, &stock).await, By::OpenSsl, "{kind:?}");
        assert_eq!(they_dial(&tls, &stock).await, By::OpenSsl, "{kind:?}");
    }
}

#[tokio::test]
async fn encrypted_keys_are_read_with_their_passphrase() {
    let ca = Authority::new("CA");
    let stock = Stock::certificates(&ca.issue("far", Kind::Version3), &ca.cafile());
    for (kind, by) in [(Kind::Version3, By::Rustls), (Kind::Version1, By::OpenSsl)] {
        let options = ca.encrypted(&ca.issue("near", kind), "open sesame");
        let tls = Tls::Certificates(options);
        assert_eq!(they_dial(&tls, &stock).await, by, "{kind:?}");
    }
}

// WIRE §7: the stock acceptor hands out tickets, has no session id context, and fails on tickets.
#[tokio::test]
async fn redialing_never_resumes_a_session() {
    let ca = Authority::new("CA");
    let stock = Stock::certificates(&ca.issue("far", Kind::Version3), &ca.cafile());
    for kind in [Kind::Version3, Kind::Version1] {
        let (connector, _) = connector_and_acceptor(&ca.tls("near", kind)).unwrap();
        let (listener, addr) = listener().await;
        for _ in 0..3 {
            let far = async {
                let mut far = stock.accept(listener.accept().await.unwrap().0).await;
                say(far.as_mut().unwrap().as_mut(), b"pong").await;
                far
            };
            let near = async {
                let mut near = connector.connect(&addr).await.unwrap().0;
                // The tickets come before it.
                assert_eq!(hear(&mut near).await, *b"pong");
            };
            let (far, ()) = within(async { tokio::join!(far, near) }).await;
            assert!(far.is_ok());
        }
    }
}

#[tokio::test]
async fn chains_may_be_completed_by_the_peer_or_from_the_ca_file() {
    let root = Authority::new("root");
    let below = root.intermediate("below");
    let far = below.issue("far", Kind::Version3);
    let both = [root.cafile(), below.cafile()].map(|path| fs::read(path).unwrap());
    let both = root.files.write("both.pem", &both.concat());
    let stock = Stock::certificates(&far, &both);

    // The far side shows its own certificate alone.
    let mut options = below.options(&below.issue("near", Kind::Version3));
    options.cafile = Some(both);
    let tls = Tls::Certificates(options.clone());
    assert_eq!(we_dial(&tls, &stock).await, By::Rustls);
    assert_eq!(they_dial(&tls, &stock).await, By::Rustls);

    // It shows the whole chain.
    let chain = [&far.certificate, &below.cafile()].map(|path| fs::read(path).unwrap());
    let mut whole = far.clone();
    whole.certificate = below.files.write("chain.pem", &chain.concat());
    let stock = Stock::certificates(&whole, options.cafile.as_ref().unwrap());
    options.cafile = Some(root.cafile());
    let tls = Tls::Certificates(options);
    assert_eq!(we_dial(&tls, &stock).await, By::Rustls);
}

#[tokio::test]
async fn ca_directories_may_be_hashed_or_plain() {
    let ca = Authority::new("CA");
    let other = Authority::new("other");
    let stock = Stock::certificates(&ca.issue("far", Kind::Version3), &ca.cafile());
    let pem = ca.certificate.to_pem().unwrap();
    let hashed = format!("{:08x}.0", ca.certificate.subject_name_hash());
    for name in [hashed.as_str(), "corporate.pem", "corporate.crt"] {
        for kind in [Kind::Version3, Kind::Version1] {
            let dir = super::authority::Files::new();
            dir.write(name, &pem);
            dir.write("other.pem", &other.certificate.to_pem().unwrap());
            // Neither of them is a certificate, and only one looks like it.
            dir.write("broken.pem", b"no PEM");
            dir.write("README", b"no PEM either");
            let mut options = ca.options(&ca.issue("near", kind));
            options.cafile = None;
            options.capath = Some(dir.dir().to_owned());
            let tls = Tls::Certificates(options);
            we_dial(&tls, &stock).await;
            they_dial(&tls, &stock).await;
        }
    }
}

#[tokio::test]
async fn name_that_was_dialed_is_found_if_asked_for() {
    let ca = Authority::new("CA");
    let stock = Stock::certificates(&ca.issue("far", Kind::Version3), &ca.cafile());
    let mut options = ca.options(&ca.issue("near", Kind::Version3));
    options.name_check = NameCheck::On;
    we_dial(&Tls::Certificates(options), &stock).await;
}

#[test]
fn options_that_do_not_fit_are_refused_with_the_name_of_what_is_wrong() {
    let ca = Authority::new("CA");
    let near = ca.issue("near", Kind::Version3);
    let good = ca.options(&near);
    let with = |change: fn(&mut Certificates)| {
        let mut options = good.clone();
        change(&mut options);
        text(options)
    };
    let needs = |option: &str| format!("{option}: not set, and TLS with certificates needs it");
    assert_eq!(
        with(|o| o.certificate = None),
        needs("Broker::ssl_certificate")
    );
    assert_eq!(with(|o| o.keyfile = None), needs("Broker::ssl_keyfile"));
    assert_eq!(
        with(|o| o.cafile = None),
        needs("Broker::ssl_cafile or Broker::ssl_capath")
    );
    assert_eq!(
        with(|o| o.cafile = Some("/nonexistent/ca.pem".into())),
        "Broker::ssl_cafile: /nonexistent/ca.pem: No such file or directory (os error 2)"
    );
    let no_root = with(|o| o.cafile.clone_from(&o.certificate));
    assert!(no_root.contains("no self-signed CA"), "{no_root}");
    let no_pem = with(|o| o.certificate.clone_from(&o.keyfile));
    assert!(no_pem.contains("Broker::ssl_certificate: /"), "{no_pem}");

    let mut other = good.clone();
    other.keyfile = Some(ca.issue("other", Kind::Version3).keyfile);
    assert!(text(other).contains("not the key of the certificate in"));

    let mut encrypted = ca.encrypted(&near, "open sesame");
    encrypted.passphrase = None;
    assert!(text(encrypted.clone()).ends_with("Broker::ssl_passphrase is not set"));
    for wrong in ["sesame".to_owned(), "x".repeat(100_000)] {
        encrypted.passphrase = Some(Passphrase::new(wrong));
        let text = text(encrypted.clone());
        assert!(
            text.contains("(is Broker::ssl_passphrase right?)"),
            "{text}"
        );
    }
}

#[test]
fn all_files_that_do_not_do_are_told_at_once() {
    let options = Certificates {
        certificate: Some("/nonexistent/own.pem".into()),
        keyfile: Some("/dev/null".into()),
        cafile: Some("/nonexistent/ca.pem".into()),
        capath: Some("/nonexistent/ca".into()),
        ..Certificates::default()
    };
    let text = text(options);
    let lines: Vec<&str> = text.lines().collect();
    let missing = "No such file or directory (os error 2)";
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(
        lines[0],
        format!("Broker::ssl_certificate: /nonexistent/own.pem: {missing}")
    );
    assert!(lines[1].starts_with("Broker::ssl_keyfile: /dev/null: not a private key"));
    assert_eq!(
        lines[2],
        format!("Broker::ssl_cafile: /nonexistent/ca.pem: {missing}")
    );
    assert_eq!(
        lines[3],
        format!("Broker::ssl_capath: /nonexistent/ca: {missing}")
    );
}

/// Renewed files: the next link has the certificate of the day, and the one that stands stays.
#[tokio::test]
async fn replaced_certificates_count_for_the_next_link_in_both_roles() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let tls = |ca: &Authority, name| ca.tls(name, Kind::Version3);
    let (connector, _) = connector_and_acceptor(&tls(&old, "dialer")).unwrap();
    let (_, acceptor) = connector_and_acceptor(&tls(&old, "listener")).unwrap();
    let (listener, addr) = listener().await;
    let link = async || {
        let accepting = async {
            let tcp = listener.accept().await.unwrap().0;
            acceptor.clone().accept(tcp, LIMIT).await
        };
        let dialing = connector.clone();
        within(async { tokio::join!(accepting, dialing.connect(&addr)) }).await
    };
    let (accepted, dialed) = link().await;
    let (mut standing, mut other_end) = (accepted.unwrap(), dialed.unwrap().0);

    let (_, renewed) = connector_and_acceptor(&tls(&new, "listener")).unwrap();
    acceptor.replace(&renewed);
    let (accepted, _) = link().await;
    assert!(accepted.is_err());
    let (renewed, _) = connector_and_acceptor(&tls(&new, "dialer")).unwrap();
    connector.replace(&renewed);
    let (accepted, dialed) = link().await;
    let certificate = accepted.unwrap().certificate().unwrap().clone();
    assert_eq!(certificate.name.as_deref(), Some("dialer"));
    dialed.unwrap();

    say(&mut other_end, b"ping").await;
    assert_eq!(hear(&mut standing).await, *b"ping");
}

fn text(options: Certificates) -> String {
    let opened: Result<_, TlsErrors> = connector_and_acceptor(&Tls::Certificates(options));
    opened.unwrap_err().to_string()
}

/// Exchanges words over a link that this side dials.
async fn we_dial(tls: &Tls, stock: &Stock) -> By {
    let (connector, _) = connector_and_acceptor(tls).unwrap();
    let (listener, addr) = listener().await;
    let far = async {
        let accept = async || stock.accept(listener.accept().await.unwrap().0).await;
        let mut far = match (accept().await, tls) {
            // Dialed again: rustls was refused.
            (Err(_), Tls::Anonymous) => accept().await.unwrap(),
            (accepted, _) => accepted.unwrap(),
        };
        assert_eq!(hear(far.as_mut()).await, *b"ping");
        say(far.as_mut(), b"pong").await;
    };
    let near = async {
        let mut near = connector.connect(&addr).await.unwrap().0;
        say(&mut near, b"ping").await;
        assert_eq!(near.certificate().is_some(), is_certified(tls));
        let by = by(&near.inner);
        if by == By::Nobody {
            let mut probe = [0; 9];
            tokio::io::AsyncReadExt::read_exact(&mut near, &mut probe)
                .await
                .unwrap();
        }
        assert_eq!(hear(&mut near).await, *b"pong");
        by
    };
    within(async { tokio::join!(far, near) }).await.1
}

/// Exchanges words over a link that the far side dials.
async fn they_dial(tls: &Tls, stock: &Stock) -> By {
    let (_, acceptor) = connector_and_acceptor(tls).unwrap();
    let (listener, addr) = listener().await;
    let far = async {
        let mut far = stock.dial(&addr.to_string()).await.unwrap();
        say(far.as_mut(), b"ping").await;
        assert_eq!(hear(far.as_mut()).await, *b"pong");
    };
    let near = async {
        let tcp = listener.accept().await.unwrap().0;
        let mut near = acceptor.accept(tcp, LIMIT).await.unwrap();
        assert_eq!(hear(&mut near).await, *b"ping");
        say(&mut near, b"pong").await;
        assert_eq!(near.certificate().is_some(), is_certified(tls));
        by(&near.inner)
    };
    within(async { tokio::join!(far, near) }).await.1
}

fn is_certified(tls: &Tls) -> bool {
    match tls {
        Tls::Certificates(_) => true,
        Tls::Off | Tls::Anonymous => false,
    }
}

fn by(inner: &Inner) -> By {
    match inner {
        Inner::Clear(_) => By::Nobody,
        Inner::Rustls(_) => By::Rustls,
        Inner::OpenSsl(_) => By::OpenSsl,
    }
}
