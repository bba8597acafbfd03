//! Who may do what, as the operator says it, and as clients hear of it (API §18).

use std::net::{Ipv4Addr, TcpListener};

use harness::client::ZeekClient;
use harness::command;
use harness::ports;
use rustix::process::Signal;

use crate::settings::{LIMIT, Site};

#[test]
fn a_policy_with_errors_is_told_with_every_line_and_nothing_listens() {
    let site = Site::new(&[(
        "p.toml",
        "allow_everything = true\n[[rule]]\nroles = [\"boss\"]\naddress = \"10.0.0.0/40\"\n",
    )]);
    let port = ports::free(1);
    let wrong_port = "Management::Agent::default_port=70000/tcp";
    for program in ["controller", "agent", "supervisor", "run"] {
        let mut command = site.program(&[program, "--policy", "p.toml", wrong_port]);
        command.arg(format!("Broker::default_port={port}/tcp"));
        let done = command::run(&mut command, LIMIT).unwrap();
        let lines: Vec<&str> = done.stderr.lines().collect();
        let known = "node, agent, controller, supervisor, operator, viewer";
        let expected = [
            "zeek-mgmt: argument: Management::Agent::default_port: 70000/tcp is no port, the highest is 65535".to_owned(),
            "zeek-mgmt: p.toml:1: there is no 'allow_everything'; there are allow_unauthenticated, limits and rule".to_owned(),
            format!("zeek-mgmt: p.toml:3: roles: 'boss' is none of {known}"),
            "zeek-mgmt: p.toml:4: address: 10.0.0.0 has 32 bits, not 40".to_owned(),
        ];
        assert_eq!(
            (done.code, lines),
            (Some(1), expected.each_ref().map(String::as_str).to_vec())
        );
    }
    let missing = &["controller", "--policy", "none.toml"];
    let done = command::run(&mut site.program(missing), LIMIT).unwrap();
    let text = "zeek-mgmt: none.toml: No such file or directory (os error 2)\n";
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), text));
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn an_open_address_needs_certificates_or_the_one_setting() {
    let site = Site::new(&[]);
    let run = |args: &[&str]| command::run(&mut site.program(args), LIMIT).unwrap();
    let open = "Management::default_address=0.0.0.0";
    for program in ["controller", "agent", "run"] {
        let done = run(&[program, open]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(
            done.stderr.contains("set allow_unauthenticated"),
            "{done:?}"
        );
    }
    let done = run(&[
        "controller",
        open,
        "--show-policy",
        "--allow-unauthenticated",
    ]);
    // Clap has options of zeek-mgmt before and after settings.
    assert_eq!(done.code, Some(0), "{done:?}");
    let roles = r#"["node", "agent", "controller", "supervisor", "operator", "viewer"]"#;
    let rules = format!("allow_unauthenticated = true\n\n[[rule]]\nroles = {roles}\n");
    assert!(done.stdout.contains(&rules), "{done:?}");

    let done = run(&["controller", "--show-policy", "--limit", "clients=7"]);
    assert!(done.stdout.contains("\n[limits]\n"), "{done:?}");
    assert!(done.stdout.contains("\nclients = 7\n"), "{done:?}");
    let comments: Vec<&str> = done
        .stdout
        .lines()
        .filter(|line| line.starts_with('#'))
        .collect();
    assert_eq!(comments.len(), 2, "{done:?}");
    for comment in comments {
        assert!(
            comment.contains("on 127.0.0.1 instead of 0.0.0.0"),
            "{comment}"
        );
        assert!(comment.contains("allow_unauthenticated"), "{comment}");
    }
    site.write("shown.toml", &done.stdout);
    let again = run(&["controller", "--policy", "shown.toml", "--show-policy"]);
    assert_eq!((again.code, again.stdout), (Some(0), done.stdout));
    let done = run(&["run", "--show-settings"]);
    assert!(
        done.stdout
            .contains("# Management::Agent::listen_address: on 127.0.0.1"),
        "{done:?}"
    );
}

/// The stock client is told what it may not; the file is read again at SIGHUP, and one with errors
/// changes nothing.
#[test]
fn a_viewer_is_told_what_it_may_not_until_the_policy_makes_it_an_operator() {
    let rules = |role: &str| format!("[[rule]]\nlistener = \"websocket\"\nroles = \"{role}\"\n");
    let site = Site::new(&[("p.toml", &rules("viewer"))]);
    let [_, websocket, ..] = site.write_ports();
    let running = site.start(&[
        "controller",
        "--policy",
        "p.toml",
        "--redef",
        "site/ports.zeek",
    ]);
    running.await_port(websocket);
    let client = ZeekClient::installed().unwrap();

    let done = client.run(websocket, &["get-instances"]).unwrap();
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(0), "{}\n"),
        "{done:?}"
    );
    let refused = || {
        let done = client.run(websocket, &["restart"]).unwrap();
        assert_eq!(done.code, Some(1), "{done:?}");
        let said = format!("{}{}", done.stdout, done.stderr);
        said.contains("may not restart: role viewer")
    };
    assert!(refused());
    running.await_said("may not restart: role viewer");

    site.write("p.toml", "[[rule]]\nroles = \"boss\"\n");
    running.signal(Signal::HUP);
    running.await_said("the policy stays as it is: p.toml:2: roles: 'boss'");
    assert!(refused());
    site.write("p.toml", &rules("operator"));
    running.signal(Signal::HUP);
    running.await_said("other rules are in force");
    assert!(!refused());
    running.stop();
}
