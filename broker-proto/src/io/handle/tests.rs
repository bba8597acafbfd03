use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{
    Gone, Handle, ListenError, Options, Overflow, PublishError, Status, StatusEvents, spawn,
};
use crate::peering::PeerAddr;
use crate::zeek::{Event, EventError, ToData};
use crate::{Data, Topic};

const NEWS: Topic = Topic::from_static("/news");
const WEATHER: Topic = Topic::from_static("/news/weather");

#[tokio::test]
async fn events_values_and_bytes_arrive_in_cleartext_and_with_anonymous_tls() {
    for dialing in [Options::cleartext(), Options::anonymous()] {
        let server = spawn(Options::cleartext());
        let mut news = server.subscribe(NEWS).await.unwrap();
        let mut other = server
            .subscribe(Topic::from_static("/other"))
            .await
            .unwrap();
        let client = spawn(dialing);
        peered(&client, &server).await;

        let event = Event::new("headline", vec![7_u64.into_data()]);
        client.publish(WEATHER, event.clone()).await.unwrap();
        client.publish(NEWS, Data::Count(3)).await.unwrap();
        // A none (WIRE §3.5).
        client
            .publish(NEWS, Bytes::from_static(&[0]))
            .await
            .unwrap();
        client
            .publish(Topic::from_static("/other/thing"), Data::None)
            .await
            .unwrap();

        let first = within(news.next()).await.unwrap();
        assert_eq!((&first.topic, first.from), (&WEATHER, client.id()));
        assert_eq!(first.event(), Ok(event));
        let second = within(news.next()).await.unwrap();
        assert_eq!(second.data(), Ok(Data::Count(3)));
        assert!(matches!(second.event(), Err(EventError::Shape { .. })));
        assert_eq!(within(news.next()).await.unwrap().payload, [0][..]);
        assert_eq!(
            within(other.next()).await.unwrap().topic,
            Topic::from_static("/other/thing")
        );
    }
}

#[tokio::test]
async fn two_subscriptions_to_one_topic_both_get_it_and_the_publisher_does_not() {
    let server = spawn(Options::cleartext());
    let mut all = server.subscribe(NEWS).await.unwrap();
    let mut weather = server.subscribe(WEATHER).await.unwrap();
    let client = spawn(Options::cleartext());
    let mut own = client.subscribe(NEWS).await.unwrap();
    peered(&client, &server).await;
    client.publish(WEATHER, Data::Count(1)).await.unwrap();
    assert_eq!(within(all.next()).await.unwrap().data(), Ok(Data::Count(1)));
    assert_eq!(
        within(weather.next()).await.unwrap().data(),
        Ok(Data::Count(1))
    );
    server.publish(WEATHER, Data::Count(2)).await.unwrap();
    assert_eq!(within(own.next()).await.unwrap().data(), Ok(Data::Count(2)));
}

#[tokio::test]
async fn a_subscription_reaches_peers_that_are_there_already() {
    let (server, client) = pair().await;
    let mut status = client.status().await.unwrap();
    let mut news = server.subscribe(NEWS).await.unwrap();
    // Nothing tells when the filter is there, so both publish until it is.
    let publishing = async {
        loop {
            client.publish(NEWS, Data::None).await.unwrap();
            client.peers().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let message = within(async {
        tokio::select! {
            message = news.next() => message,
            () = publishing => None,
            _ = status.next() => None,
        }
    });
    assert_eq!(message.await.unwrap().topic, NEWS);
}

#[tokio::test]
async fn unpeer_says_goodbye_and_the_address_can_be_dialed_again() {
    let server = spawn(Options::cleartext());
    let addr = listening(&server).await;
    let client = spawn(Options::cleartext());
    let mut status = client.status().await.unwrap();
    for _ in 0..2 {
        client
            .peer(&addr, Some(Duration::from_secs(60)))
            .await
            .unwrap();
        let id = up(&mut status).await;
        assert_eq!(id, server.id());
        let peers = client.peers().await.unwrap();
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].1.dialed.as_ref(), Some(&addr));
        client.unpeer(&addr).await.unwrap();
        let down = within(status.next()).await.unwrap();
        let reason = "unpeered".into();
        assert_eq!(down, Status::PeerDown { id, reason });
        assert_eq!(client.peers().await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable() {
    let occupant = spawn(Options::cleartext());
    let addr = listening(&occupant).await;
    occupant.shutdown().await;
    let client = spawn(Options::cleartext());
    let mut status = client.status().await.unwrap();
    client.peer(&addr, None).await.unwrap();
    let event = within(status.next()).await.unwrap();
    let Status::PeerUnreachable { addr: got, reason } = event else {
        panic!("{event:?}");
    };
    assert_eq!(got, addr);
    assert!(reason.contains("Connection refused"), "{reason}");
}

#[tokio::test]
async fn shutdown_delivers_what_was_published_and_ends_everything() {
    let server = spawn(Options::cleartext());
    let mut news = server.subscribe(NEWS).await.unwrap();
    let client = spawn(Options::cleartext());
    peered(&client, &server).await;
    let mut own = client.subscribe(NEWS).await.unwrap();
    for n in 0..1000 {
        client.publish(NEWS, Data::Count(n)).await.unwrap();
    }
    within(client.shutdown()).await;
    for n in 0..1000 {
        let message = within(news.next()).await.unwrap();
        assert_eq!(message.data(), Ok(Data::Count(n)));
    }
    assert!(within(own.next()).await.is_none());
    let clone = client.clone();
    assert_eq!(clone.peers().await, Err(Gone));
    assert_eq!(
        clone.publish(NEWS, Data::None).await,
        Err(PublishError::Gone(Gone))
    );
    within(clone.shutdown()).await;
}

#[tokio::test]
async fn dropping_the_last_handle_leaves_the_peers() {
    let (server, client) = pair().await;
    let mut status = server.status().await.unwrap();
    let id = client.id();
    drop(client);
    let down = within(status.next()).await.unwrap();
    assert!(matches!(down, Status::PeerDown { id: who, .. } if who == id));
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_loses_its_oldest() {
    let mut options = Options::cleartext();
    options.inbox = 10;
    let server = spawn(options);
    let mut news = server.subscribe(NEWS).await.unwrap();
    let mut rest = server.subscribe(Topic::from_static("/rest")).await.unwrap();
    let client = spawn(Options::cleartext());
    peered(&client, &server).await;
    for n in 0..100 {
        client.publish(NEWS, Data::Count(n)).await.unwrap();
    }
    client
        .publish(Topic::from_static("/rest"), Data::None)
        .await
        .unwrap();
    within(rest.next()).await.unwrap();
    assert_eq!(news.lost(), 90);
    assert_eq!(
        within(news.next()).await.unwrap().data(),
        Ok(Data::Count(90))
    );
}

#[tokio::test]
async fn a_subscriber_that_is_waited_for_loses_nothing() {
    let mut options = Options::cleartext();
    (options.inbox, options.overflow) = (10, Overflow::Wait);
    let server = spawn(options);
    let mut news = server.subscribe(NEWS).await.unwrap();
    let client = spawn(Options::cleartext());
    peered(&client, &server).await;
    let payload = Data::string(vec![b'x'; 1000]);
    let publishing = async {
        for _ in 0..20_000 {
            client.publish(NEWS, &payload).await.unwrap();
            client.ready().await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..20_000 {
            news.next().await.unwrap();
        }
    };
    within(async { tokio::join!(publishing, reading) }).await;
    assert_eq!(news.lost(), 0);
}

#[tokio::test]
async fn what_peers_may_not_get_is_refused() {
    let mut options = Options::cleartext();
    options.peering.limits.frame = 100;
    let handle = spawn(options);
    let local = Topic::from_static("<$>/local/x");
    assert_eq!(
        handle.publish(local.clone(), Data::None).await,
        Err(PublishError::Topic(local))
    );
    // 4 + 37 + 5 bytes around it.
    let size = |size| Err(PublishError::Size { size, limit: 100 });
    assert_eq!(handle.publish(NEWS, Bytes::new()).await, size(0));
    let payload = Bytes::from_static(&[0; 55]);
    assert_eq!(handle.publish(NEWS, payload.clone()).await, size(55));
    assert_eq!(handle.publish(NEWS, payload.slice(1..)).await, Ok(()));
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let handle = spawn(Options::cleartext());
    let addr = listening(&handle).await;
    let error = handle.listen(&addr).await.unwrap_err();
    assert!(matches!(error, ListenError::Bind { addr: at, .. } if at == addr));
}

async fn pair() -> (Handle, Handle) {
    let server = spawn(Options::cleartext());
    let client = spawn(Options::cleartext());
    peered(&client, &server).await;
    (server, client)
}

/// Both sides say that the peering stands.
async fn peered(client: &Handle, server: &Handle) {
    let addr = listening(server).await;
    let mut there = server.status().await.unwrap();
    let mut here = client.status().await.unwrap();
    client.peer(&addr, None).await.unwrap();
    assert_eq!(up(&mut here).await, server.id());
    assert_eq!(up(&mut there).await, client.id());
}

async fn up(status: &mut StatusEvents) -> crate::EndpointId {
    let event = within(status.next()).await.unwrap();
    let Status::PeerUp { id, .. } = event else {
        panic!("{event:?}");
    };
    id
}

async fn listening(handle: &Handle) -> PeerAddr {
    let any = "127.0.0.1:0".parse().unwrap();
    handle.listen(&any).await.unwrap().into()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    // Quick work, but the machine may have other things to do.
    timeout(Duration::from_secs(120), work)
        .await
        .expect("loopback is quick")
}
