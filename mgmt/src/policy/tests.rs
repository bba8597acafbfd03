use std::net::IpAddr;

use broker_proto::peering::PeerNetwork;

use super::file::PolicyFile;
use super::*;

const CONTROLLER: &str = "zeek/management/controller";

#[test]
fn first_rule_that_fits_counts_and_nobody_else_is_let_in() {
    let policy = policy(
        "[[rule]]\ncertificate = [\"alice\", \"ops-*.example\"]\nlistener = \"websocket\"\nroles = \"operator\"\n\
         [[rule]]\naddress = \"10.1.0.0/16\"\nroles = []\n\
         [[rule]]\naddress = \"10.0.0.0/8\"\nlistener = \"broker\"\nroles = [\"agent\", \"node\"]\n",
    );
    let who = |listener, address: &str, name: Option<&str>| {
        let certificate = name.map(certificate);
        let origin = Origin {
            listener,
            address: address.parse().unwrap(),
            certificate: certificate.as_ref(),
        };
        policy.who(&origin).to_string()
    };
    let cases = [
        (
            Listener::WebSocket,
            "10.1.2.3",
            Some("alice"),
            "role operator",
        ),
        (
            Listener::WebSocket,
            "192.0.2.1",
            Some("OPS-1.example"),
            "role operator",
        ),
        (
            Listener::WebSocket,
            "192.0.2.1",
            Some("ops-1.example.org"),
            "no role",
        ),
        (Listener::WebSocket, "192.0.2.1", None, "no role"),
        (Listener::Broker, "192.0.2.1", Some("alice"), "no role"),
        (Listener::Broker, "10.1.2.3", Some("alice"), "no role"),
        (Listener::Broker, "10.2.2.3", None, "roles node, agent"),
        (
            Listener::Broker,
            "::ffff:10.2.2.3",
            None,
            "roles node, agent",
        ),
        (Listener::Dialed, "10.2.2.3", None, "no role"),
        (Listener::Broker, "::a02:203", None, "no role"),
    ];
    for (listener, address, name, roles) in cases {
        assert_eq!(
            who(listener, address, name),
            roles,
            "{listener:?} {address} {name:?}"
        );
    }
}

#[test]
fn stars_stand_for_any_text() {
    let fits = |pattern: &str, name: &str| Pattern::new(pattern).fits(name);
    for (pattern, name) in [
        ("*", ""),
        ("a", "A"),
        ("a*", "a"),
        ("*.example", "x.example"),
        ("a*b*c", "abbc"),
        ("**", "x"),
        ("a*a", "aa"),
    ] {
        assert!(fits(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("a", "ab"),
        ("a*a", "a"),
        ("*b*c", "c"),
        ("", "a"),
        ("a*b*b", "ab"),
    ] {
        assert!(!fits(pattern, name), "{pattern} {name}");
    }
}

#[test]
fn networks_have_the_addresses_that_begin_as_they_do() {
    let has = |network: &str, address: &str| {
        Network::parse(network)
            .unwrap()
            .has(address.parse::<IpAddr>().unwrap())
    };
    for (network, address) in [
        ("0.0.0.0/0", "192.0.2.1"),
        ("10.0.0.0/9", "10.127.255.255"),
        ("192.0.2.1", "192.0.2.1"),
        ("::/0", "2001:db8::1"),
        ("2001:db8::/33", "2001:db8:7fff::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.0/8", "10.1.2.3"),
    ] {
        assert!(has(network, address), "{network} {address}");
    }
    for (network, address) in [
        ("0.0.0.0/0", "::1"),
        ("10.0.0.0/9", "10.128.0.0"),
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8::/33", "2001:db8:8000::1"),
    ] {
        assert!(!has(network, address), "{network} {address}");
    }
    let error = Network::parse("::ffff:192.0.2.0/120").unwrap_err();
    assert_eq!(error.to_string(), "192.0.2.0 has 32 bits, not 120");
}

#[test]
fn everything_wrong_in_a_file_is_told_with_its_line() {
    let text = "allow_unauthenticated = \"yes\"\n\
                allow_everything = true\n\
                broken = = 1\n\
                [[rule]]\n\
                roles = [\"agent\", \"boss\", 7]\n\
                adress = \"10.0.0.0/8\"\n\
                address = [\"10.0.0.1/8\", \"10.0.0.0/33\", \"here\"]\n\
                listener = \"tcp\"\n\
                certificate = []\n\
                [[rule]]\n\
                certificate = \"a\"\n\
                [[rule]]\n\
                roles = \"node\"\n\
                agent = \"a\"\n";
    let problems = PolicyFile::read(text, "p.toml").unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let roles = "node, agent, controller, supervisor, operator, viewer";
    let expected = [
        "p.toml:1: allow_unauthenticated is true or false, not string",
        "p.toml:2: there is no 'allow_everything'; there are allow_unauthenticated, limits and rule",
        "p.toml:3: ",
        &format!("p.toml:5: roles: 'boss' is none of {roles}"),
        "p.toml:5: roles is a text, not integer",
        "p.toml:6: there is no 'adress'; a rule has certificate, listener, address, roles and agent",
        "p.toml:7: address: 10.0.0.1/8 has address bits behind its length, the network would be 10.0.0.0/8",
        "p.toml:7: address: 10.0.0.0 has 32 bits, not 33",
        "p.toml:7: address: 'here' is neither an address nor of the form 10.0.0.0/8",
        "p.toml:8: listener: 'tcp' is none of broker, dialed, websocket",
        "p.toml:9: certificate has no entry",
        "p.toml:10: a rule without roles; roles = [] refuses whom it fits",
        "p.toml:12: agent names who has the role agent, which this rule does not give",
    ];
    for expected in expected {
        let count = texts
            .iter()
            .filter(|text| text.starts_with(expected))
            .count();
        assert!(count > 0, "no '{expected}' in {texts:#?}");
    }
    assert!(problems.is_sorted_by_key(|problem| problem.line));
}

#[test]
fn a_file_that_is_no_toml_is_an_error_wherever_it_breaks() {
    let whole = "allow_unauthenticated = true\n[[rule]]\nroles = [\"agent\"]\nagent = \"a\"\n";
    for end in 0..whole.len() {
        // Some cuts are files of their own.
        if let Err(problems) = PolicyFile::read(&whole[..end], "p") {
            assert!(
                problems.iter().all(|it| (1..=5).contains(&it.line)),
                "{problems:?}"
            );
        }
    }
    for text in [
        "rule = 1",
        "limits = 1",
        "rule = [1]",
        "[rule]\nroles = []",
        "= = =",
        "\u{0}",
        "[[rule]",
    ] {
        assert!(PolicyFile::read(text, "p").is_err(), "{text:?}");
    }
    assert!(PolicyFile::read(&"#".repeat(file::MAX_BYTES + 1), "p").is_err());
    assert_eq!(PolicyFile::read("", "p"), Ok(PolicyFile::default()));
}

#[test]
fn what_is_shown_can_be_given_back() {
    let written = "[[rule]]\nlistener = \"broker\"\ncertificate = \"q\\\"\\\\\\u0007x\"\n\
                   address = [\"10.0.0.0/8\", \"::1\"]\nroles = [\"agent\"]\nagent = \"a\"\n\
                   [[rule]]\nroles = []\n";
    let mut policies = vec![Policy::open(), policy(written)];
    for (broker, websocket) in [(false, false), (true, false), (false, true), (true, true)] {
        let protection = Protection { broker, websocket };
        policies.push(Policy::of(&PolicyFile::default(), protection));
    }
    for policy in policies {
        let shown = policy.to_string();
        let file = PolicyFile::read(&shown, "shown").unwrap();
        assert_eq!(Policy::of(&file, Protection::default()), policy, "{shown}");
    }
}

#[test]
fn without_a_file_members_are_those_with_certificates_or_on_this_host() {
    let file = PolicyFile::default();
    let who = |broker, websocket, listener, address: &str, named: bool| {
        let certificate = certificate("c");
        let origin = Origin {
            listener,
            address: address.parse().unwrap(),
            certificate: named.then_some(&certificate),
        };
        let policy = Policy::of(&file, Protection { broker, websocket });
        policy.who(&origin)
    };
    for (listener, roles) in [
        (Listener::Broker, "roles node, agent, controller"),
        (Listener::Dialed, "roles agent, controller, supervisor"),
        (Listener::WebSocket, "role operator"),
    ] {
        let with = who(true, true, listener, "192.0.2.1", true);
        assert_eq!(with.to_string(), roles, "{listener:?}");
        assert!(who(true, true, listener, "127.0.0.1", false).is_refusal());
    }
    for listener in [Listener::Broker, Listener::WebSocket] {
        assert!(who(false, false, listener, "127.0.0.5", false).is_full());
        assert!(who(false, false, listener, "::1", false).is_full());
        assert!(who(false, false, listener, "192.0.2.1", false).is_refusal());
    }
    // The operator said whom to dial.
    assert!(who(false, false, Listener::Dialed, "192.0.2.1", false).is_full());
}

#[test]
fn allowing_the_unauthenticated_is_stocks_way_unless_there_are_rules() {
    let allow = PolicyFile::read("allow_unauthenticated = true", "p").unwrap();
    assert_eq!(Policy::of(&allow, Protection::default()), Policy::open());
    let ruled = policy("allow_unauthenticated = true\n[[rule]]\nroles = \"viewer\"");
    let origin = Origin {
        listener: Listener::WebSocket,
        address: [127, 0, 0, 1].into(),
        certificate: None,
    };
    assert_eq!(ruled.who(&origin).to_string(), "role viewer");
}

#[test]
fn roles_may_do_what_the_table_says_and_nothing_else() {
    let grant = |role| Rule::for_all([role]).grant();
    for (at, role, topic, event) in WHO_MAY_WHAT {
        assert!(
            grant(role).may_publish(at, topic, event, Some("a")),
            "{role:?} {event}"
        );
        // Whoever else may do it has a row of its own.
        for other in Role::ALL.into_iter().filter(|other| *other != role) {
            let may = grant(other).may_publish(at, topic, event, Some("a"));
            let also = WHO_MAY_WHAT
                .iter()
                .any(|it| (it.0, it.1) == (at, other) && it.2 == topic);
            assert!(!may || also, "{other:?} {event}");
        }
    }
    let viewer = grant(Role::Viewer);
    for event in ["deploy", "stage_configuration", "restart"] {
        let event = format!("Management::Controller::API::{event}_request");
        assert!(
            !viewer.may_publish(Station::Controller, CONTROLLER, &event, None),
            "{event}"
        );
    }
    let agent = grant(Role::Agent);
    for topic in [
        "zeek/management/agent/ab",
        "zeek/management/agent/",
        "zeek/management/agent/a/b",
    ] {
        let hello = "Management::Agent::API::notify_agent_hello";
        assert!(
            !agent.may_publish(Station::Controller, topic, hello, Some("a")),
            "{topic}"
        );
    }
}

#[test]
fn agents_read_their_own_topic_and_no_other() {
    let readable = Rule::for_all([Role::Agent])
        .grant()
        .readable(Station::Controller, Some("a"));
    let readable = readable.unwrap();
    let has = |topic| readable.has(&broker_proto::Topic::from_static(topic));
    assert!(has("zeek/management/agent/a"));
    for other in [
        "zeek/management/agent/ab",
        "zeek/management/agent",
        CONTROLLER,
        "zeek/supervisor",
    ] {
        assert!(!has(other), "{other}");
    }
    assert_eq!(
        Rule::for_all(Role::ALL)
            .grant()
            .readable(Station::Controller, None),
        None
    );
}

#[test]
fn a_supervisor_lets_in_agents_and_controllers_and_nobody_else() {
    let network = PeerNetwork {
        remote: ([192, 0, 2, 1], 1).into(),
        dialed: None,
        certificate: None,
    };
    for role in Role::ALL {
        let door = policy(&format!("[[rule]]\nroles = \"{}\"\n", role.as_str())).door();
        let expected = match role {
            Role::Agent | Role::Controller => Ok(()),
            Role::Node | Role::Supervisor | Role::Operator | Role::Viewer => Err(format!(
                "the policy gives it role {}, not agent or controller",
                role.as_str()
            )),
        };
        assert_eq!(door.admits(&network), expected, "{role:?}");
    }
}

fn policy(text: &str) -> Policy {
    Policy::of(&PolicyFile::read(text, "p").unwrap(), Protection::default())
}

fn certificate(name: &str) -> PeerCertificate {
    PeerCertificate {
        name: Some(name.to_owned()),
        dns: Vec::new(),
        addresses: Vec::new(),
        not_after: i64::MAX,
        fingerprint: [1; 32],
    }
}

/// One that each role may, where it may something.
#[rustfmt::skip]
const WHO_MAY_WHAT: [(Station, Role, &str, &str); 9] = [
        (
            Station::Controller,
            Role::Operator,
            CONTROLLER,
            "Management::Controller::API::deploy_request",
        ),
        (
            Station::Controller,
            Role::Viewer,
            CONTROLLER,
            "Management::Controller::API::get_nodes_request",
        ),
        (
            Station::Controller,
            Role::Agent,
            OWN,
            "Management::Agent::API::notify_agent_hello",
        ),
        (
            Station::Controller,
            Role::Agent,
            OWN,
            "Management::Agent::API::deploy_response",
        ),
        (
            Station::Agent,
            Role::Controller,
            OWN,
            "Management::Agent::API::deploy_request",
        ),
        (
            Station::Agent,
            Role::Node,
            "zeek/management/node",
            "Management::Node::API::notify_node_hello",
        ),
        (
            Station::Agent,
            Role::Supervisor,
            "zeek/supervisor/status_response/1",
            "SupervisorControl::status_response",
        ),
        (
            Station::Supervisor,
            Role::Agent,
            "zeek/supervisor",
            "SupervisorControl::create_request",
        ),
        (
            Station::Supervisor,
            Role::Controller,
            "zeek/supervisor",
            "SupervisorControl::stop_request",
        ),
];

const OWN: &str = "zeek/management/agent/a";
