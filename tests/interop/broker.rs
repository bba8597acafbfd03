//! Against a Broker endpoint built elsewhere:
//! `BROKER_PEER=host:port cargo test -p system-tests --test interop broker`.
//!
//! Any endpoint will do that
//!
//! 1. listens at `host:port`,
//! 2. subscribes to the topic `/zeek-mgmt/interop` and publishes every message that comes there
//!    again, on the same topic and with the same value, in the order in which they come,
//! 3. does what two of these messages say, besides echoing them: on the event
//!    `ZeekMgmt::dial(host: string, p: port)` it dials there, protected as it is itself, and again
//!    every second until it succeeds and whenever the peering is lost; on
//!    `ZeekMgmt::undial(host: string, p: port)` it ends that.
//!
//! With libbroker that is a subscriber, `publish`, `peer_nosync` and `unpeer_nosync`. An endpoint
//! that does not echo, or does not dial, is told of on standard output and checked for the rest;
//! `BROKER_PEER_STRICT=yes` makes it a failure. Once it has echoed one message it must echo all.
//! Values must come back with the bytes of WIRE §3, so sets and tables sorted (WIRE §3.8).
//!
//! | variable | what |
//! | --- | --- |
//! | `BROKER_TLS` | how the endpoint is protected: `off`, `anonymous` (if not set) or `certificates` |
//! | `BROKER_SSL_CERTIFICATE`, `BROKER_SSL_KEYFILE`, `BROKER_SSL_PASSPHRASE`, `BROKER_SSL_CAFILE`, `BROKER_SSL_CAPATH` | our side's files for `certificates` |

#![allow(clippy::print_stdout, reason = "a test that does not run says so")]

use std::env;

use broker_proto::tls::{Certificates, Passphrase, Tls};
use harness::certificates::Authority;

use self::steps::{Elsewhere, Report, Strictness};

mod echo;
mod relay;
mod steps;

#[tokio::test]
async fn a_broker_endpoint_elsewhere_takes_every_type_and_peers_again() {
    let Ok(text) = env::var("BROKER_PEER") else {
        println!("did not run: BROKER_PEER=host:port names no Broker endpoint");
        return;
    };
    let elsewhere = Elsewhere {
        addr: text.parse().unwrap(),
        tls: tls_of_environment(),
        strictness: match env::var("BROKER_PEER_STRICT").as_deref() {
            Ok("yes") => Strictness::AllOfIt,
            _ => Strictness::WhatItDoes,
        },
    };
    println!("{:?}", steps::all(&elsewhere).await);
}

/// The same, with an endpoint of this project on the other side, so that it always runs.
#[tokio::test]
async fn an_endpoint_of_ours_takes_every_type_and_peers_again() {
    let ca = Authority::new("CA").unwrap();
    let certificates = |name| {
        let identity = ca.issue(name).unwrap();
        Tls::Certificates(Certificates {
            certificate: Some(identity.certificate),
            keyfile: Some(identity.keyfile),
            cafile: Some(ca.cafile()),
            ..Certificates::default()
        })
    };
    let sides = [
        (Tls::Off, Tls::Off),
        (Tls::Anonymous, Tls::Anonymous),
        (certificates("here"), certificates("elsewhere")),
    ];
    for (tls, other) in sides {
        let (other, addr) = echo::start(&other).await;
        let elsewhere = Elsewhere {
            addr,
            tls,
            strictness: Strictness::AllOfIt,
        };
        let report = tokio::select! {
            report = steps::all(&elsewhere) => report,
            () = other.run() => panic!("the other endpoint ended"),
        };
        let all = Report {
            echoes: true,
            dials: true,
        };
        assert_eq!(report, all);
    }
}

fn tls_of_environment() -> Tls {
    let file = |name: &str| env::var_os(format!("BROKER_SSL_{name}")).map(Into::into);
    match env::var("BROKER_TLS").as_deref() {
        Ok("off") => Tls::Off,
        Ok("anonymous") | Err(_) => Tls::Anonymous,
        Ok("certificates") => Tls::Certificates(Certificates {
            certificate: file("CERTIFICATE"),
            keyfile: file("KEYFILE"),
            passphrase: env::var("BROKER_SSL_PASSPHRASE").ok().map(Passphrase::new),
            cafile: file("CAFILE"),
            capath: file("CAPATH"),
            ..Certificates::default()
        }),
        Ok(other) => panic!("BROKER_TLS is {other}, not off, anonymous or certificates"),
    }
}
