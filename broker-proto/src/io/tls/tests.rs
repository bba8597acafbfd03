mod authority;
mod clients;
mod matrix;
mod mismatch;
mod peering;
mod stock;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion};
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_openssl::SslStream;

use super::{Acceptor, Connector, Inner, Stream};
use crate::io::gate::Gate;
use crate::io::listen;
use crate::peering::PeerAddr;

#[tokio::test]
async fn cleartext_and_tls_are_accepted_on_one_port() {
    let (listener, addr) = listener().await;
    for (connector, is_encrypted) in [
        (Connector::cleartext(), false),
        (Connector::anonymous(), true),
    ] {
        let (mut accepted, mut dialed) = open(&listener, &connector, &addr).await;
        assert_eq!(
            [accepted.is_encrypted(), dialed.is_encrypted()],
            [is_encrypted; 2]
        );
        accepted.write_all(b"pong").await.unwrap();
        accepted.flush().await.unwrap();
        assert_eq!(read_4(&mut accepted).await, *b"ping");
        assert_eq!(read_4(&mut dialed).await, *b"pong");
    }
}

// API §12.2 D73: stock has Nagle's algorithm on and waits for that.
#[tokio::test]
async fn what_came_is_acknowledged_at_once_also_on_a_link_that_answers() {
    let (listener, addr) = listener().await;
    for connector in [Connector::cleartext(), Connector::anonymous()] {
        let (mut accepted, mut dialed) = open(&listener, &connector, &addr).await;
        // A read that is filled leaves it to the system, which puts it off for a link that answers.
        for _ in 0..5 {
            send_4(&mut accepted).await;
            read_4(&mut dialed).await;
            send_4(&mut dialed).await;
            read_4(&mut accepted).await;
        }
        assert!(!sockopt::tcp_quickack(dialed.inner.tcp()).unwrap());
        send_4(&mut accepted).await;
        assert_eq!(dialed.read(&mut [0; 64]).await.unwrap(), 4);
        assert!(sockopt::tcp_quickack(dialed.inner.tcp()).unwrap());
    }
}

async fn send_4(stream: &mut Stream) {
    stream.write_all(b"ping").await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn anonymous_dialer_gets_tls_1_3_from_any_certificate() {
    let (listener, addr) = listener().await;
    let connector = Connector::anonymous();
    let (_accepted, dialed) = open(&listener, &connector, &addr).await;
    assert!(agreed(&dialed).starts_with("TLSv1_3 TLS13_AES_"));
}

// WIRE §7.1.
#[tokio::test]
async fn anonymous_dialer_agrees_with_stocks_acceptor_on_anonymous_ecdh() {
    let (listener, addr) = listener().await;
    let connector = Connector::anonymous();
    let stock = async || stock_accept(listener.accept().await.unwrap().0).await;
    // This machine's peers are dialed by rustls first, as long as none has refused it.
    let both = async {
        let refused = stock().await;
        (refused.map(drop), stock().await)
    };
    let dial = connector.connect(&addr);
    let ((refused, accepted), dialed) = within(async { tokio::join!(both, dial) }).await;
    assert!(refused.is_err());
    let mut dialed = dialed.unwrap().0;
    assert_eq!(agreed(&dialed), "TLSv1.2 AECDH-AES256-SHA");
    accepted.unwrap().write_all(b"ping").await.unwrap();
    assert_eq!(read_4(&mut dialed).await, *b"ping");

    let again = within(async { tokio::join!(stock(), connector.connect(&addr)) }).await;
    let (Ok(_), Ok((dialed, _))) = again else {
        panic!("{again:?}");
    };
    assert_eq!(agreed(&dialed), "TLSv1.2 AECDH-AES256-SHA");
    // Which also dials peers of ours.
    let (_accepted, dialed) = open(&listener, &connector, &addr).await;
    assert_eq!(agreed(&dialed), "TLSv1.3 TLS_AES_256_GCM_SHA384");
}

// What waits is gathered anew for each write.
#[tokio::test]
async fn a_stuck_write_by_openssl_goes_on_from_another_place() {
    let (listener, addr) = listener().await;
    let connector = Connector::anonymous();
    let stock = async || stock_accept(listener.accept().await.unwrap().0).await;
    let both = async { (stock().await, stock().await) };
    let (peer, dialed) = within(async { tokio::join!(both, connector.connect(&addr)) }).await;
    assert!(peer.1.is_ok());
    let mut dialed = dialed.unwrap().0;
    assert!(matches!(dialed.inner, Inner::OpenSsl(_)));
    let (before, after) = (vec![1; 1000], vec![1; 2000]);
    let stuck = poll_fn(|cx| {
        while let Poll::Ready(written) = Pin::new(&mut dialed).poll_write(cx, &before) {
            assert_eq!(written.unwrap(), before.len());
        }
        Poll::Ready(Pin::new(&mut dialed).poll_write(cx, &after))
    });
    let again = tokio::task::coop::unconstrained(stuck).await;
    assert!(again.is_pending(), "{again:?}");
}

#[tokio::test]
async fn stream_without_close_notify_just_ends() {
    let (listener, addr) = listener().await;
    let connector = Connector::anonymous();

    let (mut accepted, dialed) = open(&listener, &connector, &addr).await;
    drop(dialed);
    assert_eq!(read_4(&mut accepted).await, *b"ping");
    assert_eq!(within(accepted.read(&mut [0])).await.unwrap(), 0);

    let (mut accepted, mut dialed) = open(&listener, &connector, &addr).await;
    assert_eq!(read_4(&mut accepted).await, *b"ping");
    drop(accepted);
    assert_eq!(within(dialed.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn refused_dial_names_the_address_and_the_reason() {
    // Bound but not listening, so nobody else can be there.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();

    let text = dial_error(&Connector::cleartext(), "127.0.0.1", port).await;
    assert_eq!(
        text,
        format!("cannot connect to 127.0.0.1:{port}: Connection refused (os error 111)")
    );
    let text = dial_error(&Connector::cleartext(), "localhost", port).await;
    assert!(
        text.starts_with(&format!("cannot connect to localhost:{port}: "))
            && text.contains(&format!("127.0.0.1:{port}: Connection refused")),
        "{text}"
    );
}

#[tokio::test]
async fn peer_without_tls_is_told_apart_from_tls_that_does_not_fit() {
    let (listener, addr) = listener().await;
    let connector = Connector::anonymous();
    let cleartext_broker = async {
        let mut tcp = listener.accept().await.unwrap().0;
        // WIRE §2: a probe in its frame.
        tcp.write_all(b"\0\0\0\x05\x07ZEEK").await.unwrap();
        tcp
    };
    let dial = dial_error(&connector, &addr.host, addr.port);
    let (_tcp, text) = within(async { tokio::join!(cleartext_broker, dial) }).await;
    assert_eq!(
        text,
        format!(
            "cannot connect to {addr}: \
             the peer does not speak TLS (TLS is on here, is it off there?)"
        )
    );

    // Dialed a second time, in case it was rustls that it did not like.
    let closing = async {
        drop(listener.accept().await.unwrap());
        drop(listener.accept().await.unwrap());
    };
    let dial = dial_error(&connector, &addr.host, addr.port);
    let ((), text) = within(async { tokio::join!(closing, dial) }).await;
    assert!(text.contains("TLS handshake"), "{text}");
}

#[tokio::test]
async fn silent_client_is_let_go_after_the_limit_and_hears_nothing() {
    let (listener, addr) = listener().await;
    let mut client = TcpStream::connect(addr.to_string()).await.unwrap();
    let accepted = listener.accept().await.unwrap().0;
    let acceptor = Acceptor::self_signed();

    tokio::time::pause();
    let start = Instant::now();
    let mut heard = Vec::new();
    let (stream, read) = tokio::join!(
        acceptor.accept(accepted, LIMIT),
        client.read_to_end(&mut heard) // ends when the acceptor lets go
    );
    assert_eq!(stream.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    assert_eq!((read.unwrap(), heard), (0, vec![]));
}

#[tokio::test]
async fn client_that_leaves_without_a_word_is_an_error() {
    let (listener, addr) = listener().await;
    drop(TcpStream::connect(addr.to_string()).await.unwrap());
    let accepted = listener.accept().await.unwrap().0;
    let error = Acceptor::self_signed().accept(accepted, LIMIT).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "end of stream before the first byte"
    );
}

#[tokio::test]
async fn empty_host_means_every_interface_and_ipv4_peers_look_like_it() {
    let everywhere = PeerAddr {
        host: String::new(),
        port: 0,
    };
    let listener = listen::bind(&everywhere).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut accepted) = mpsc::channel(1);
    let mut tasks = tokio::task::JoinSet::new();
    let acceptor = Acceptor::self_signed();
    tasks.spawn(listen::accept(listener, acceptor, Gate::default(), sender));

    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let accepted = within(accepted.recv()).await.unwrap();
    assert_eq!(accepted.remote, client.local_addr().unwrap());
}

/// For the TLS handshake.
const LIMIT: Duration = Duration::from_secs(10);

async fn listener() -> (TcpListener, PeerAddr) {
    let mut addr = PeerAddr {
        host: "127.0.0.1".into(),
        port: 0,
    };
    let listener = listen::bind(&addr).await.unwrap();
    addr.port = listener.local_addr().unwrap().port();
    (listener, addr)
}

/// Connects, and says "ping" so that the acceptor sees a first byte.
async fn open(listener: &TcpListener, connector: &Connector, addr: &PeerAddr) -> (Stream, Stream) {
    let acceptor = Acceptor::self_signed();
    let accept = async {
        let tcp = listener.accept().await.unwrap().0;
        acceptor.accept(tcp, LIMIT).await.unwrap()
    };
    let dial = async {
        let (mut stream, remote) = connector.connect(addr).await.unwrap();
        assert_eq!(remote, addr.to_string().parse::<SocketAddr>().unwrap());
        stream.write_all(b"ping").await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    within(async { tokio::join!(accept, dial) }).await
}

/// Protocol and cipher, as the library calls them.
fn agreed(stream: &Stream) -> String {
    match &stream.inner {
        Inner::OpenSsl(tls) => {
            let cipher = tls.ssl().current_cipher().unwrap();
            format!("{} {}", tls.ssl().version_str(), cipher.name())
        }
        Inner::Rustls(tls) => {
            let (_, tls) = tls.get_ref();
            let suite = tls.negotiated_cipher_suite().unwrap();
            format!("{:?} {:?}", tls.protocol_version().unwrap(), suite.suite())
        }
        Inner::Clear(_) => unreachable!("cleartext"),
    }
}

/// Stock's acceptor without certificates (WIRE §7.1).
async fn stock_accept(tcp: TcpStream) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
    let mut context = SslContext::builder(SslMethod::tls()).unwrap();
    context
        .set_min_proto_version(Some(SslVersion::TLS1_2))
        .unwrap();
    context
        .set_cipher_list("AECDH-AES256-SHA@SECLEVEL=0")
        .unwrap();
    context.set_groups_list("P-384").unwrap();
    context.set_verify(SslVerifyMode::NONE);
    let ssl = Ssl::new(&context.build()).unwrap();
    let mut tls = SslStream::new(ssl, tcp).unwrap();
    Pin::new(&mut tls).accept().await?;
    Ok(tls)
}

async fn dial_error(connector: &Connector, host: &str, port: u16) -> String {
    let host = host.to_owned();
    let addr = PeerAddr { host, port };
    within(connector.connect(&addr))
        .await
        .unwrap_err()
        .to_string()
}

async fn read_4(stream: &mut Stream) -> [u8; 4] {
    let mut bytes = [0; 4];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work)
        .await
        .expect("loopback is quick")
}
