//! What few installations have.

use super::*;

/// What will be different or lost, whatever weight it has.
fn told(tree: Tree) -> Vec<String> {
    let report = report(tree);
    let changes = report.trees[0].changes.iter();
    changes.map(|change| change.what.clone()).collect()
}

fn fact(report: &Report, label: &str) -> Option<String> {
    let mut facts = report.trees[0].facts.iter();
    facts.find(|(it, _)| *it == label).map(|(_, it)| it.clone())
}

#[test]
fn a_passphrase_among_the_arguments_is_told_of_and_never_printed() {
    let secret = "redef Broker::ssl_passphrase = \"open sesame\";";
    let mut tree = tree("");
    let words = ["-e", secret, "Broker::ssl_passphrase=sesame", "Site::x=1"];
    tree.told.words.extend(words.map(str::to_owned));
    let text = show::text(&report(tree.clone()));
    assert!(!text.contains("sesame"), "{text}");
    let place = "# add what sets Broker::ssl_passphrase, which is not printed\nExecStart=\n";
    assert!(text.contains(place), "{text}");
    assert!(text.contains(" local Site::x=1\n"), "{text}");
    let what = "a passphrase among the arguments: every user of the host can see it, and it is \
                not printed here";
    assert!(told(tree).iter().any(|it| it == what));
}

#[test]
fn ours_under_a_unit_gets_stocks_command_into_it() {
    let mut tree = tree("");
    let Place::Running { kind, .. } = &mut tree.place else {
        panic!("it runs");
    };
    *kind = Kind::Ours;
    let report = report(tree);
    let back = report.trees[0].back.iter().flat_map(|step| &step.lines);
    let back: Vec<&String> = back.collect();
    let start = format!(
        "ExecStart=/opt/zeek/bin/zeek -j {} {} local",
        FRAMEWORK[0], FRAMEWORK[1]
    );
    assert!(back.contains(&&start), "{back:?}");
    assert!(!back.iter().any(|line| line.starts_with("rm ")), "{back:?}");
    let changes = report.trees[0].changes.iter();
    let options = changes.filter(|it| it.what.contains("these options"));
    assert_eq!(options.count(), 0, "it was given none");
}

#[test]
fn a_directory_that_no_unit_can_name_is_left_out_of_it() {
    let mut tree = tree("");
    tree.directory = "/srv/a\nb".into();
    let text = show::text(&report(tree));
    assert!(!text.contains("WorkingDirectory="), "{text}");
}

#[test]
fn a_bare_installation_is_told_without_what_it_has_not() {
    let mut tree = tree("redef Management::Agent::archive_logs = F;");
    tree.variables.clear();
    tree.state.kept = Kept::Nothing;
    tree.state.directories.clear();
    tree.state.is_there = false;
    let report = report(tree);
    assert_eq!(fact(&report, "environment"), None);
    let state = fact(&report, "state").unwrap();
    assert_eq!(state, "/opt/zeek/var/lib, not there");
    let carries = &report.trees[0].carries;
    for gone in ["log archival", "configuration", "working directories"] {
        assert!(!carries.iter().any(|it| it.contains(gone)), "{carries:?}");
    }
    let text = show::text(&report);
    assert!(!text.contains("nodes:\n"), "{text}");
    assert!(!text.contains("are put aside"), "{text}");
    assert!(text.ends_with("Nothing would be lost.\n"), "{text}");
}

#[test]
fn settings_that_cannot_be_resolved_are_told_and_the_rest_as_ever() {
    let script = "redef Management::Controller::tls_options_websocket = [$key_file=\"k\"];";
    let report = report(tree(script));
    let carries = &report.trees[0].carries;
    assert!(
        carries.iter().any(|it| it.starts_with("3 arguments")),
        "{carries:?}"
    );
    assert!(fact(&report, "roles").is_some());
}

#[test]
fn state_of_an_old_zeek_carries_over_if_there_is_any() {
    let carried = |staged: Option<&str>, deployed: Option<&str>| {
        let mut tree = tree("");
        tree.state.kept = Kept::State {
            saved: Saved {
                staged: staged.map(config),
                ready: None,
                deployed: deployed.map(config),
            },
            layout: Layout::Older,
        };
        let carries = report(tree).trees.remove(0).carries;
        carries.iter().any(|it| it.starts_with("state of Zeek"))
    };
    assert!(carried(Some("a"), None));
    assert!(carried(None, Some("a")));
    assert!(!carried(None, None));
}

#[test]
fn of_many_names_the_first_dozen_is_listed() {
    let mut tree = tree("");
    let names = (0..15).map(|n| directory(&format!("d{n}"), false));
    tree.state.directories = names.collect();
    tree.state.more = 7;
    let report = report(tree);
    let directories = fact(&report, "directories").unwrap();
    let end = "d10, d11 and 3 more, and 7 more";
    assert!(directories.ends_with(end), "{directories}");
    let text = show::text(&report);
    assert!(text.contains("no directory here"), "{text}");
}

#[test]
fn what_is_odd_about_the_zeek_that_runs_is_told() {
    let mut replaced = tree("");
    replaced.zeek.was_replaced = true;
    let what = "/opt/zeek/bin/zeek has been replaced since it was started";
    assert!(told(replaced).iter().any(|it| it == what));
    // Nobody needs scripts that nothing loads.
    let mut without = tree("");
    without.zeek.scripts = ZeekScripts::WithoutFramework;
    without.roles.clear();
    without.told.scripts.clear();
    let lost = losses(without);
    assert!(!lost.iter().any(|it| it.contains("@load")), "{lost:?}");
    let mut missing = tree("");
    missing.zeek.scripts = ZeekScripts::Missing;
    missing.loaded.files.clear();
    let unread = told(missing);
    let mut unread = unread.iter();
    assert!(!unread.any(|it| it.contains("were not found")));
}

#[test]
fn an_archiver_that_is_not_there_is_told_of_where_logs_are_archived() {
    let with = |script, has_archiver| {
        let mut tree = tree(script);
        tree.has_archiver = has_archiver;
        let told = told(tree);
        told.iter()
            .any(|it| it.contains("zeek-archiver is not there"))
    };
    assert!(with("", Some(false)));
    assert!(!with("", None));
    let off = "redef Management::Agent::archive_logs = F;";
    assert!(!with(off, Some(false)));
}

#[test]
fn options_of_stocks_that_ours_has_not_are_lost_each_with_its_way_out() {
    let script = "redef Management::Agent::topic_prefix = \"x\";\n\
                  redef Broker::default_connect_retry = 5sec;\n";
    let report = report(tree(script));
    let lost = report.trees[0].changes.iter();
    let todo: Vec<&str> = lost
        .filter(|change| change.weight == Weight::Lost)
        .map(|change| change.todo.as_str())
        .collect();
    let expected = [
        "set every peer back to stock's topics",
        "do without, or stay with stock",
    ];
    assert_eq!(todo, expected);
}

#[test]
fn hooks_that_do_nothing_of_ours_are_told_like_events_and_broker_settings_in_blocks_are_lost() {
    let script = "hook Log::log_stream_policy(r: any, id: Log::ID) { }\n\
                  @if ( Site::x )\nredef Broker::disable_ssl = T;\n@endif\n";
    let hooks = "1 handler in nodes only, no longer in supervisor, controller and agent: \
                 site/local.zeek:1 hook Log::log_stream_policy";
    assert!(told(tree(script)).iter().any(|it| it == hooks));
    let what = "site/local.zeek:2 @if ( Site::x ): settings and @load lines in there do not count \
                (Broker::disable_ssl)";
    assert_eq!(losses(tree(script)), [what]);
}

#[test]
fn scripts_that_were_not_found_are_named() {
    let mut tree = tree("");
    tree.loaded.unknown = ["base/x".to_owned()].into();
    let what = "scripts not found and taken for Zeek's own: base/x";
    assert!(told(tree).iter().any(|it| it == what));
}

#[test]
fn agents_of_this_host_need_no_open_port() {
    let with = |name: &str, host: &str| {
        let mut tree = tree("");
        let Kept::State { saved, .. } = &mut tree.state.kept else {
            panic!("there is a state");
        };
        let mut config = config("c");
        config.instances = [Instance {
            name: name.to_owned(),
            host: host.parse().unwrap(),
            listen_port: None,
        }]
        .into();
        config.nodes.clear();
        saved.deployed = Some(config);
        losses(tree)
    };
    assert_eq!(with("instance-1", "127.0.0.1"), [""; 0]);
    assert_eq!(with("instance-1", "192.0.2.1").len(), 1);
    let script =
        "redef Management::Agent::controller = [$address=\"0.0.0.0\", $bound_port=0/unknown];";
    let mut tree = tree(script);
    let Kept::State { saved, .. } = &mut tree.state.kept else {
        panic!("there is a state");
    };
    let mut config = config("c");
    config.nodes.clear();
    config.instances = [Instance {
        name: "another".to_owned(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port: Some(Port::tcp(2151)),
    }]
    .into();
    saved.deployed = Some(config);
    let lost = losses(tree);
    assert_eq!(lost.len(), 1, "another agent is dialed: {lost:?}");
}

#[test]
fn an_agent_beside_two_controllers_is_none_of_them() {
    let mut agent = tree("");
    agent.roles = [Role::Agent].into();
    let mut other = tree("");
    other.state.file = "/elsewhere".into();
    let report = Report::new(&Findings {
        trees: vec![tree(""), other, agent],
        ..Findings::default()
    });
    let told = report.trees.iter().map(|tree| {
        let mut changes = tree.changes.iter();
        changes.any(|it| it.what == "2 controllers run on this host")
    });
    assert_eq!(told.collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn what_could_not_be_looked_at_is_not_said_to_carry_over() {
    let report = Report::new(&Findings {
        trees: vec![tree("")],
        unseen: vec![Unseen {
            what: "process 7".to_owned(),
            why: "permission denied".to_owned(),
        }],
        ..Findings::default()
    });
    let verdict = "Nothing that could be looked at would be lost, but not everything could.\n";
    let text = show::text(&report);
    assert!(text.ends_with(verdict), "{text}");
}

#[test]
fn without_steps_there_is_no_title_for_them() {
    let mut tree = tree("");
    tree.roles.clear();
    let text = show::text(&report(tree));
    assert!(!text.contains("to move"), "{text}");
}
