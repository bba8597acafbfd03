//! The page "Two hosts, secured" of the README, followed as a newcomer would: its own commands, in
//! their order, on two hosts.
//!
//! The hosts are two network namespaces with a cable between them, made without privileges. Where a
//! system has no such thing, the same commands run with two addresses of 127.0.0.0/8, and the test
//! says so. `zeek` is the stand-in, `scp` copies from one home directory to the other.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may unwrap and index"
)]

mod hosts;
mod page;

use std::io::Write;
use std::time::Duration;

use harness::lock::Lock;
use harness::wait_until;

use hosts::{Cable, Host, Hosts};
use page::Block;

/// From the start of a program to what it leads to.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_newcomer_secures_two_hosts_by_following_the_page() {
    let cable = match Cable::lay() {
        Ok(cable) => Some(cable),
        Err(error) => {
            // Straight to the terminal: what a test prints is not shown if it succeeds.
            let text = format!(
                "\nNOT RUN in network namespaces, this system has none for us ({error}): \
                 the README's page is followed on 127.0.0.11 and 127.0.0.12 instead\n\n"
            );
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            None
        }
    };
    // The page's ports are there only once where hosts are only addresses.
    let alone = std::env::temp_dir().join("zeek-mgmt-two-hosts.lock");
    let _alone = cable.is_none().then(|| Lock::take(&alone).unwrap());
    let mut hosts = Hosts::new(cable).unwrap();
    let blocks = page::blocks();
    assert_eq!(blocks.len(), 6, "the page has changed: {blocks:#?}");
    for Block { host, script } in &blocks {
        if script.contains("zeek-mgmt controller") || script.contains("zeek-mgmt run") {
            hosts.start(*host, script).unwrap();
            continue;
        }
        if !script.contains("zeek-client get-instances") {
            hosts.succeeds(*host, script);
            continue;
        }
        // Who follows the page by hand takes longer to get here than an agent to connect.
        let (ask, _) = script.split_once("cat >").unwrap();
        let there = wait_until(LIMIT, || {
            let done = hosts.run(*host, ask);
            done.stdout.contains("\"sensor\"").then_some(())
        });
        assert!(there.is_some(), "no sensor:\n{}", hosts.logs());
        // A slow machine may need more than the ordinary time for a deployment.
        let deployed = wait_until(LIMIT, || {
            let done = hosts.run(*host, script);
            let parts = ["\"manager\"", "\"worker\"", "RUNNING"];
            let is_there = done.code == Some(0) && parts.iter().all(|it| done.stdout.contains(it));
            is_there.then_some(())
        });
        assert!(deployed.is_some(), "no cluster:\n{}", hosts.logs());
    }
    strangers_stay_outside(&hosts);
    hosts.stop().unwrap();
}

/// Neither cleartext nor TLS without a certificate of the CA is answered, and the sensor's
/// certificate is not the operator's.
fn strangers_stay_outside(hosts: &Hosts) {
    let controller = hosts.address(Host::Controller);
    for enable in ["false", "true"] {
        let script = format!(
            "zeek-client --controller {controller} --set ssl.enable={enable} \
             --set client.peering_attempts=1 get-instances"
        );
        let done = hosts.run(Host::Controller, &script);
        assert_ne!(done.code, Some(0), "{done:?}");
        assert!(!done.stdout.contains("sensor"), "{done:?}");
    }
    let script = format!(
        "zeek-client --controller {controller} --set ssl.enable=true \
         --set ssl.cafile=$HOME/zeek-tls/ca.pem \
         --set ssl.certificate=$HOME/zeek-tls/sensor.pem --set ssl.keyfile=$HOME/zeek-tls/sensor.key \
         get-instances"
    );
    let done = hosts.run(Host::Sensor, &script);
    assert_ne!(done.code, Some(0), "{done:?}");
    assert!(!done.stdout.contains("\"sensor\""), "{done:?}");
    let own = "zeek-mgmt ca init --dir stranger-ca && \
               zeek-mgmt ca issue sensor --dir stranger-ca >/dev/null";
    hosts.succeeds(Host::Sensor, own);
    let script = format!(
        "zeek-client --controller {controller} --set ssl.enable=true \
         --set ssl.cafile=$HOME/zeek-tls/ca.pem \
         --set ssl.certificate=stranger-ca/sensor.pem --set ssl.keyfile=stranger-ca/sensor.key \
         --set client.peering_attempts=1 get-instances"
    );
    let done = hosts.run(Host::Sensor, &script);
    assert_ne!(done.code, Some(0), "{done:?}");
}
