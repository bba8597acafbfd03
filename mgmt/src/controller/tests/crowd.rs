//! Agents that do not do what they should, first among two, then among ten: every request is
//! answered in time, and says who and why.

use super::*;

/// The healthy agents of a crowd of this size; the others are called by their fault.
fn crowd(size: usize) -> (Vec<String>, [&'static str; 5]) {
    let faulty = ["flapping", "moved", "other-version", "silent", "slow"];
    let healthy = (1..=size).map(|n| format!("good-{n}")).collect();
    (healthy, faulty)
}

fn as_strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

impl Rig {
    /// The open requests of this kind, by agent.
    fn asked(&self, what: &str) -> Vec<(String, String)> {
        let asked = self.controller.outputs.iter().filter_map(|o| match o {
            Output::ToAgent { instance, request } => {
                let (kind, reqid, _) = request_parts(request.clone());
                (kind == what).then(|| (instance.clone(), reqid))
            }
            Output::Deploy {
                instance, reqid, ..
            } => (what == "deploy").then(|| (instance.clone(), reqid.clone())),
            Output::Respond { .. }
            | Output::Peer { .. }
            | Output::Unpeer { .. }
            | Output::Save { .. }
            | Output::Log { .. } => None,
        });
        asked.collect()
    }

    fn welcome_all(&mut self, names: &[&str]) {
        for name in names {
            let open = self.asked("welcome").into_iter();
            if let Some((_, reqid)) = open.rev().find(|(instance, _)| instance == name) {
                self.agent(name, welcomed(&reqid));
            }
        }
    }

    /// Agents answer what they were asked last.
    fn answer(&mut self, what: &str, names: &[&str]) {
        for (instance, reqid) in self.asked(what) {
            let Some(name) = names.iter().find(|name| **name == instance) else {
                continue;
            };
            let node = format!("w-{name}");
            let results = came_up(name, &[&node]);
            let reqid = reqid.as_str();
            let message = match what {
                "deploy" => deployed(reqid, results),
                "restart" => AgentResponse::Restart {
                    reqid: reqid.into(),
                    results,
                },
                "dispatch" => AgentResponse::NodeDispatch {
                    reqid: reqid.into(),
                    results: vec![results[0].clone().with_data(Data::string("1"))],
                },
                "get_nodes" => AgentResponse::GetNodes {
                    reqid: reqid.into(),
                    result: ApiResult::ok(reqid).with_data(Data::Vector(vec![])),
                },
                other => panic!("{other}"),
            };
            self.agent(name, message);
        }
    }

    fn flap(&mut self, name: &str) {
        self.peer_down(name);
        self.join(name);
        self.welcome_all(&[name]);
    }

    /// The only answer to a client among what came out, part by part.
    fn answer_parts(&mut self) -> Vec<String> {
        let lines = self.lines();
        let is_answer = |line: &&String| !line.contains(" <- ") && line.contains(": ");
        let answers: Vec<&String> = lines.iter().filter(is_answer).collect();
        let [answer] = &answers[..] else {
            panic!("{lines:?}")
        };
        let (_, results) = answer.split_once(": ").unwrap();
        results.split("; ").map(str::to_owned).collect()
    }
}

/// All joined but the one of another version, whose hello was refused; `moved` came from elsewhere
/// before. All answer the welcome but `silent`, which never answers anything.
fn deployment_begun(healthy: &[&str], faulty: &[&str]) -> Rig {
    let mut rig = Rig::new();
    let mut names = healthy.to_vec();
    names.extend(faulty);
    for name in names.iter().filter(|name| **name != "other-version") {
        rig.join(name);
    }
    rig.stage(config("c", &names, &names));
    rig.peer_down("moved");
    let network = PeerNetwork {
        certificate: None,
        remote: "10.0.0.77:40000".parse().unwrap(),
        dialed: None,
    };
    if faulty.contains(&"moved") {
        let id = endpoint("moved");
        rig.input(Input::PeerUp { id, network });
        rig.agent("moved", hello("moved"));
    }
    if faulty.contains(&"other-version") {
        rig.peer_up("other-version", None);
        rig.agent(
            "other-version",
            AgentResponse::Hello {
                instance: "other-version".into(),
                id: endpoint("other-version").to_string(),
                connecting: true,
                api_version: 2,
            },
        );
    }
    rig.request(deploy("d"));
    let welcomed: Vec<&str> = names.iter().copied().filter(|n| *n != "silent").collect();
    rig.welcome_all(&welcomed);
    rig
}

#[test]
fn of_two_agents_each_fault_of_the_other_is_named_and_answered_in_time() {
    for (fault, problem) in [
        ("silent", Some("did not answer")),
        ("slow", None),
        ("flapping", None),
        ("other-version", Some("has API version 2, the controller 1")),
        ("moved", None),
    ] {
        let mut rig = deployment_begun(&["good"], &[fault]);
        // A silent one is waited for.
        rig.pass(secs(if fault == "silent" { 10 } else { 0 }));
        rig.answer("deploy", &["good", "moved"]);
        if fault == "flapping" {
            rig.flap(fault);
            rig.answer("deploy", &[fault]);
        }
        rig.pass(secs(7));
        rig.answer("deploy", &["slow"]);
        let parts = rig.answer_parts();
        let bad = problem.map(|p| format!("failed @{fault} (instance {fault} {p})"));
        let good = problem.is_none().then(|| format!("ok @{fault} /w-{fault}"));
        for part in bad.into_iter().chain(good) {
            assert!(parts.contains(&part), "{fault}: {parts:?}");
        }
        assert!(parts.contains(&"ok @good /w-good".to_owned()), "{parts:?}");
        assert_eq!(parts.last().unwrap(), "ok = c", "{fault}");
        let config = rig.configuration(true).unwrap();
        let mut hosts = config.instances.iter().filter(|i| i.name == "moved");
        let host = hosts.next().map(|i| i.host.to_string());
        assert!(host.is_none_or(|host| host == "10.0.0.77"));
    }
}

#[test]
fn of_ten_agents_with_every_fault_a_deployment_is_answered_within_19_s() {
    let (healthy, faulty) = crowd(5);
    let healthy = as_strs(&healthy);
    let mut rig = deployment_begun(&healthy, &faulty);
    let t0 = rig.now;
    rig.pass(secs(10));
    rig.answer("deploy", &healthy);
    rig.answer("deploy", &["moved"]);
    rig.flap("flapping");
    rig.pass(secs(2));
    rig.flap("flapping");
    rig.answer("deploy", &["flapping"]);
    while !rig
        .controller
        .outputs
        .iter()
        .any(|o| matches!(o, Output::Respond { .. }))
    {
        rig.pass(secs(1));
    }
    assert!(rig.now - t0 <= secs(19), "{:?}", rig.now - t0);
    let mut want: Vec<String> = [&healthy[..], &["moved", "flapping"]]
        .concat()
        .iter()
        .map(|name| format!("ok @{name} /w-{name}"))
        .collect();
    for (name, problem) in [
        ("silent", "did not answer"),
        ("slow", "did not answer"),
        ("other-version", "has API version 2, the controller 1"),
    ] {
        want.push(format!("failed @{name} (instance {name} {problem})"));
        want.push(format!(
            "failed @{name} /w-{name} = 2 items (instance {name} {problem})"
        ));
    }
    want.push("failed (request timed out)".into());
    want.push("ok = c".into());
    let mut parts = rig.answer_parts();
    parts.sort();
    want.sort();
    assert_eq!(parts, want);
}

#[test]
fn of_ten_agents_with_every_fault_queries_name_who_is_missing_and_why() {
    let (healthy, faulty) = crowd(5);
    let healthy = as_strs(&healthy);
    let mut rig = deployment_begun(&healthy, &faulty);
    rig.pass(secs(30));
    rig.lines();
    let missing = [
        ("other-version", "has API version 2, the controller 1"),
        ("flapping", "left before it answered"),
        ("slow", "did not answer"),
        ("silent", "did not answer"),
    ];
    for (what, request) in [
        ("get_nodes", get_nodes("q")),
        (
            "dispatch",
            ControllerRequest::GetIdValue {
                reqid: "q".into(),
                id: "x".into(),
                nodes: names(&[]),
            },
        ),
        (
            "restart",
            ControllerRequest::Restart {
                reqid: "q".into(),
                nodes: names(&[]),
            },
        ),
    ] {
        rig.request(request);
        rig.answer(what, &healthy);
        rig.answer(what, &["moved"]);
        rig.flap("flapping");
        rig.pass(secs(10));
        let parts = rig.answer_parts();
        for (name, problem) in missing {
            let about = if what == "get_nodes" {
                format!("@{name}")
            } else {
                format!("/w-{name}")
            };
            let want = format!("failed {about} (instance {name} {problem})");
            assert!(parts.contains(&want), "{want}: {parts:?}");
        }
        let of_good = parts.iter().filter(|part| part.starts_with("ok @"));
        // The nodes of the others are listed as unknown.
        let unknown = if what == "get_nodes" {
            missing.len()
        } else {
            0
        };
        assert_eq!(of_good.count(), healthy.len() + 1 + unknown, "{parts:?}");
        assert_eq!(parts.last().unwrap(), "failed (request timed out)");
        // Deliveries to the one that flapped go on in the background.
        rig.answer("deploy", &["flapping"]);
        rig.lines();
    }
}
