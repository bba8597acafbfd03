use std::net::IpAddr;

use super::super::Protection;
use super::super::file::PolicyFile;
use super::*;

#[test]
fn a_strangers_refusals_are_logged_once_in_a_while_with_what_was_left_out() {
    let mut gate = Gate::new(Policy::open(), Station::Controller, None);
    let now = start();
    let [a, b] = [1, 2].map(|n| Some(SocketAddr::from(([192, 0, 2, n], 1))));
    let mut at = |seconds, address| gate.may_log(now + secs(seconds), address, None);
    assert_eq!(at(0, a), Some(0));
    assert_eq!([at(1, a), at(2, a)], [None, None]);
    assert_eq!(at(2, b), Some(0));
    assert_eq!([at(10, a), at(11, a), at(20, a)], [Some(2), None, Some(1)]);
    // A host with a network of its own is one stranger.
    let [c, d] = ["[2001:db8::1]:1", "[2001:db8::2]:2"].map(|it| it.parse().ok());
    assert_eq!([at(0, c), at(1, d)], [Some(0), None]);
    for n in 0..5000_u32 {
        let address = SocketAddr::new(IpAddr::V4(n.into()), 1);
        gate.may_log(now, Some(address), None);
    }
    assert!(gate.quiet.len() <= MOST_STRANGERS);
}

#[test]
fn strangers_whose_silence_is_over_make_room_and_the_others_stay_silent() {
    let mut gate = Gate::new(Policy::open(), Station::Controller, None);
    let now = start();
    let address = |n: usize| {
        let n = u32::try_from(n).unwrap();
        Some(SocketAddr::new(IpAddr::V4(n.into()), 1))
    };
    for n in 0..MOST_STRANGERS {
        // The last one is met so late that it is still silent when the others are not.
        let late = if n + 1 == MOST_STRANGERS { 5 } else { 0 };
        assert_eq!(gate.may_log(now + secs(late), address(n), None), Some(0));
    }
    let last = address(MOST_STRANGERS - 1);
    assert_eq!(gate.may_log(now + secs(6), last, None), None);
    let another = address(MOST_STRANGERS);
    assert_eq!(gate.may_log(now + secs(11), another, None), Some(0));
    assert_eq!(gate.may_log(now + secs(12), last, None), None);
    assert_eq!(gate.may_log(now + secs(15), last, None), Some(2));
}

#[test]
fn a_peer_that_nothing_is_known_of_gets_only_what_everybody_gets() {
    let ask = |rules: &str| {
        let gate = Gate::new(policy(rules), Station::Supervisor, None);
        gate.check(peer(1), "zeek/supervisor", CREATE)
    };
    for rules in [
        "[[rule]]\ncertificate = \"*\"\nroles = \"agent\"\n",
        "[[rule]]\naddress = \"0.0.0.0/0\"\nroles = \"agent\"\n",
        "[[rule]]\nlistener = \"broker\"\nroles = \"agent\"\n",
        "[[rule]]\nroles = []\n[[rule]]\nroles = \"agent\"\n",
    ] {
        let text = format!("client peer {} may not create: no role", peer(1));
        assert_eq!(ask(rules), Err(Refusal::Event(text)), "{rules}");
    }
    let rules = "[[rule]]\ncertificate = \"*\"\nroles = []\n[[rule]]\nroles = \"agent\"\n";
    assert_eq!(ask(rules), Ok(()));
}

#[test]
fn events_that_no_role_needs_a_right_for_are_let_through() {
    let mut gate = Gate::new(
        policy("[[rule]]\nroles = \"viewer\"\n"),
        Station::Controller,
        None,
    );
    let ours = gate.arrive(peer(1), &network(1)).unwrap();
    assert!(ours.is_some());
    let client = hub::Origin {
        remote: network(2).remote,
        application: None,
        certificate: None,
    };
    let topic = "zeek/management/controller";
    for event in [
        "Site::hello",
        "Management::Controller::API::notify_agents_ready",
    ] {
        assert_eq!(gate.check(peer(1), topic, event), Ok(()), "{event}");
        let by_client = gate.check_client(ClientId(1), &client, topic, event);
        assert_eq!(by_client, Ok(()), "{event}");
    }
    let deploy = "Management::Controller::API::deploy_request";
    assert!(gate.check(peer(1), topic, deploy).is_err());
    assert!(
        gate.check_client(ClientId(1), &client, topic, deploy)
            .is_err()
    );
}

#[test]
fn an_agent_that_says_hello_as_another_gives_its_former_name_back() {
    let mut gate = Gate::new(
        policy("[[rule]]\nroles = \"agent\"\n"),
        Station::Controller,
        None,
    );
    for n in [1, 2] {
        gate.arrive(peer(n), &network(n)).unwrap();
    }
    gate.greet(peer(1), "a").unwrap();
    assert!(gate.greet(peer(2), "a").is_err());
    gate.greet(peer(1), "b").unwrap();
    assert!(gate.speak(peer(1), "a").is_err());
    assert_eq!(gate.speak(peer(1), "b"), Ok(()));
    gate.greet(peer(2), "a").unwrap();
    assert_eq!(gate.speak(peer(2), "a"), Ok(()));
}

#[test]
fn an_agent_whose_name_was_taken_by_right_has_it_again_when_it_is_free() {
    let mut gate = Gate::new(named("a"), Station::Controller, None);
    for n in [1, 2, 3] {
        gate.arrive(peer(n), &network(n)).unwrap();
    }
    gate.greet(peer(1), "a").unwrap();
    gate.greet(peer(2), "a").unwrap();
    gate.greet(peer(3), "a").unwrap();
    gate.leave(peer(1));
    gate.leave(peer(3));
    gate.replace(policy("[[rule]]\nroles = \"agent\"\n"));
    assert_eq!(gate.speak(peer(2), "a"), Ok(()));
    gate.leave(peer(2));
    gate.arrive(peer(4), &network(4)).unwrap();
    gate.greet(peer(4), "a").unwrap();
    assert_eq!(gate.speak(peer(4), "a"), Ok(()));
}

#[test]
fn a_name_that_is_free_again_is_no_longer_its_former_agents_if_the_rules_have_changed() {
    let mut gate = Gate::new(named("a"), Station::Controller, None);
    for n in [1, 2] {
        gate.arrive(peer(n), &network(n)).unwrap();
        gate.greet(peer(n), "a").unwrap();
    }
    gate.replace(named("b"));
    assert_eq!(gate.leave(peer(2)), []);
    assert_eq!(gate.names.holder("a"), None);
    gate.greet(peer(1), "b").unwrap();
    assert!(gate.speak(peer(1), "a").is_err());
    assert_eq!(gate.speak(peer(1), "b"), Ok(()));
}

#[test]
fn an_agent_whose_rule_has_its_name_speaks_in_no_other() {
    let mut gate = Gate::new(named("a"), Station::Controller, None);
    gate.arrive(peer(1), &network(1)).unwrap();
    gate.greet(peer(1), "a").unwrap();
    assert_eq!(gate.speak(peer(1), "a"), Ok(()));
    let reason = format!(
        "peer {} at 192.0.2.1:1 may be agent a and says it is b",
        peer(1)
    );
    let refusal = Refusal::Name {
        reason,
        holder: None,
    };
    assert_eq!(gate.speak(peer(1), "b"), Err(refusal.clone()));
    assert_eq!(gate.greet(peer(1), "b"), Err(refusal));
}

#[test]
fn other_rules_expel_an_agent_only_if_they_give_it_another_name() {
    let mut gate = Gate::new(named("a"), Station::Controller, None);
    gate.arrive(peer(1), &network(1)).unwrap();
    gate.greet(peer(1), "a").unwrap();
    let same = gate.replace(named("a"));
    assert!(
        matches!(same.as_slice(), [(_, Change::Restrict(Some(_)))]),
        "{same:?}"
    );
    let other = gate.replace(named("b"));
    assert!(
        matches!(other.as_slice(), [(_, Change::Expel(Refusal::Name { .. }))]),
        "{other:?}"
    );
}

#[test]
fn who_never_arrived_has_no_name_to_take_or_to_lose() {
    let mut gate = Gate::new(
        policy("[[rule]]\nroles = \"agent\"\n"),
        Station::Controller,
        None,
    );
    assert_eq!(gate.greet(peer(1), "a"), Ok(None));
    assert_eq!(gate.greet_node(peer(1), "n"), Ok(()));
    assert_eq!(gate.leave(peer(1)), []);
    gate.arrive(peer(2), &network(2)).unwrap();
    gate.greet(peer(2), "a").unwrap();
    assert_eq!(gate.speak(peer(2), "a"), Ok(()));
}

fn policy(text: &str) -> Policy {
    Policy::of(&PolicyFile::read(text, "p").unwrap(), Protection::default())
}

/// Everybody is an agent of this name.
fn named(name: &str) -> Policy {
    policy(&format!(
        "[[rule]]\nroles = \"agent\"\nagent = \"{name}\"\n"
    ))
}

fn peer(n: u8) -> EndpointId {
    EndpointId::from_bytes([n; 16])
}

fn network(n: u8) -> PeerNetwork {
    PeerNetwork {
        remote: SocketAddr::from(([192, 0, 2, n], 1)),
        dialed: None,
        certificate: None,
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

const CREATE: &str = "SupervisorControl::create_request";
