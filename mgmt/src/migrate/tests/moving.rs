//! The commands.

use super::*;

fn lines(steps: &[Step]) -> Vec<String> {
    steps.iter().flat_map(|step| step.lines.clone()).collect()
}

#[test]
fn a_tree_without_a_unit_is_moved_in_a_shell() {
    let mut tree = tree("");
    tree.place = Place::Running {
        pid: 812,
        kind: Kind::Stock,
        user: None,
        unit: None,
    };
    tree.told.words.push("Site::x=it's $5".to_owned());
    let report = report(tree);
    let forward = lines(&report.trees[0].forward);
    let scripts =
        "policy/frameworks/management/controller policy/frameworks/management/agent local";
    let stop = [
        "kill -TERM 812",
        "while kill -0 812 2>/dev/null; do sleep 1; done",
    ];
    assert_eq!(forward[..2], stop);
    let start = format!(
        "ZEEK_AGENT_NAME=instance-1 /usr/local/bin/zeek-mgmt run --zeek /opt/zeek/bin/zeek {scripts} \
         'Site::x=it'\\''s $5'"
    );
    assert_eq!(forward[3..5], ["cd /srv/zeek", &start]);
    let start =
        format!("ZEEK_AGENT_NAME=instance-1 /opt/zeek/bin/zeek -j {scripts} 'Site::x=it'\\''s $5'");
    assert_eq!(lines(&report.trees[0].back), ["cd /srv/zeek", &start]);
}

#[test]
fn a_users_unit_is_its_users() {
    let mut tree = tree("redef Management::Controller::listen_port_websocket = 3149/tcp;");
    let Place::Running {
        unit: Some(unit), ..
    } = &mut tree.place
    else {
        panic!("it runs");
    };
    unit.manager = Manager::User;
    let text = show::text(&report(tree));
    for line in [
        "systemctl --user stop zeek.service\n",
        "mkdir -p ~/.config/systemd/user/zeek.service.d\n",
        "rm ~/.config/systemd/user/zeek.service.d/zeek-mgmt.conf\n",
        "zeek-client --controller 127.0.0.1:3149 get-nodes\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn ours_is_only_moved_back() {
    let mut tree = tree("");
    tree.place = Place::Running {
        pid: 9,
        kind: Kind::Ours,
        user: None,
        unit: None,
    };
    tree.told.words.clear();
    tree.told.scripts.clear();
    tree.told.redefs = vec!["own.zeek".to_owned()];
    tree.told.own = vec![
        "--allow-unauthenticated".to_owned(),
        "--adopt-nodes".to_owned(),
    ];
    let report = report(tree);
    assert_eq!(report.trees[0].forward, []);
    let changes = report.trees[0].changes.iter();
    let what: Vec<_> = changes.map(|it| it.what.as_str()).collect();
    assert_eq!(what.len(), 4, "{what:?}");
    let options = "back under stock, nothing does what these options do: --adopt-nodes";
    let files = "back under stock, nodes get these files as scripts, too: own.zeek";
    assert_eq!(what[1..3], [options, files]);
    let last = report.trees[0].back.last().unwrap().lines.last().unwrap();
    let expected = format!(
        "ZEEK_AGENT_NAME=instance-1 /opt/zeek/bin/zeek -j {} {} own.zeek",
        FRAMEWORK[0], FRAMEWORK[1]
    );
    assert_eq!(*last, expected);
}

#[test]
fn nodes_of_a_zeek_without_the_framework_are_not_given_its_scripts() {
    let mut tree = tree("");
    tree.zeek.scripts = ZeekScripts::WithoutFramework;
    assert_eq!(losses(tree.clone()), [""; 0]);
    let text = show::text(&report(tree.clone()));
    let roles = "printf '@load %s\\n' policy/frameworks/management/controller \
                 policy/frameworks/management/agent > /opt/zeek/var/lib/zeek-mgmt-roles.zeek\n";
    let start =
        "run --zeek /opt/zeek/bin/zeek --redef /opt/zeek/var/lib/zeek-mgmt-roles.zeek local\n";
    assert!(text.contains(roles) && text.contains(start), "{text}");
    // A script that nodes get as well would keep them from starting.
    tree.told.scripts = vec!["local".to_owned()];
    let what = "a script of yours loads the management framework, which this Zeek does not have any \
                more: nodes would not start";
    assert_eq!(losses(tree), [what]);
}
