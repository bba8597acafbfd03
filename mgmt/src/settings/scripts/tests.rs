use std::collections::BTreeMap;

use super::*;
use crate::settings::{Settings, Sources};

/// Files by name.
struct Files(BTreeMap<&'static str, &'static str>);

impl Library for Files {
    fn find(&mut self, name: &str, from: Option<&str>) -> Found {
        let name = name.trim_start_matches("./");
        if name.starts_with("base/") {
            return Found::Unknown;
        }
        let directory = from.unwrap_or("/etc/zeek").to_owned();
        let file = [format!("{name}.zeek"), name.to_owned()];
        let file = file
            .into_iter()
            .find(|file| self.0.contains_key(file.as_str()));
        match file {
            Some(path) => Found::File {
                key: path.clone(),
                text: self.0[path.as_str()].to_owned(),
                path,
                directory,
                is_stock: false,
            },
            None => Found::Missing { places: directory },
        }
    }
}

fn load(files: &[(&'static str, &'static str)], names: &[&str]) -> (Given, Loaded) {
    let mut given = Given::new(Sources {
        env: [("ZEEK_AGENT_NAME".to_owned(), "env".to_owned())].into(),
        hostname: "sensor".to_owned(),
        prefix: "/opt/zeek".into(),
    });
    let mut loaded = Loaded::default();
    let mut library = Files(files.iter().copied().collect());
    for name in names {
        given.load(name, &mut library, &mut loaded);
    }
    (given, loaded)
}

#[test]
fn files_count_in_the_order_zeek_reads_them() {
    let files = [
        (
            "a.zeek",
            "@load ./b\nredef Management::Agent::name += \"-a\";\n@load base/utils/site\n",
        ),
        (
            "b.zeek",
            "@load ./a\nredef Management::Agent::name = \"b\";\n@load policy/frameworks/management/agent\n",
        ),
    ];
    let (given, loaded) = load(
        &files,
        &[
            "a",
            "a.zeek",
            "frameworks/management/controller/__load__.zeek",
        ],
    );
    assert_eq!(given.errors(), []);
    assert_eq!(Settings::resolve(&given).unwrap().agent.name, "b-a");
    assert_eq!(loaded.roles, [Role::Controller, Role::Agent].into());
    assert_eq!(loaded.files, ["a.zeek", "b.zeek"]);
    assert_eq!(loaded.unknown, ["base/utils/site".to_owned()].into());
    let shown = given.show(&[Program::Agent]);
    let line = "Management::Agent::name = \"b-a\"  # a.zeek:2, not b.zeek:2, environment ZEEK_AGENT_NAME\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn names_of_the_framework_are_known_in_every_spelling() {
    for name in [
        "policy/frameworks/management/agent",
        "frameworks/management/agent/",
        "policy/frameworks/management/agent/__load__",
        "/usr/share/zeek/policy/frameworks/management/agent/__load__.zeek",
        "frameworks/management/agent/boot.zeek",
    ] {
        let (given, loaded) = load(&[], &[name]);
        assert_eq!(
            (given.errors(), loaded.roles),
            (&[][..], [Role::Agent].into()),
            "{name}"
        );
    }
    for name in [
        "policy/frameworks/management",
        "policy/frameworks/management/agent/config",
    ] {
        let (given, loaded) = load(&[], &[name]);
        assert_eq!(
            (given.errors(), loaded.roles),
            (&[][..], [].into()),
            "{name}"
        );
    }
    let (given, _) = load(&[], &["frameworks/managements/agent"]);
    assert_eq!(given.errors().len(), 1);
}

#[test]
fn mistakes_in_files_are_told_with_file_and_line() {
    let files = [(
        "a.zeek",
        "@load ./missing\nredef Management::Agent::nmae = \"x\";\nredef Management::Agent::listen_port = T;\n\
         redef Broker::log_topic = my_function;\nredef Management::Agent::name = f();\nfunction g() { \"\n}",
    )];
    let (given, loaded) = load(&files, &["a", "nowhere"]);
    let errors: Vec<String> = given.errors().iter().map(ToString::to_string).collect();
    let expected = [
        "a.zeek:6: the string does not end in its line",
        "a.zeek:1: there is no script ./missing, looked in /etc/zeek",
        "a.zeek:2: there is no option Management::Agent::nmae",
        "a.zeek:3: Management::Agent::listen_port: T is not a port from 1/tcp to 65535/tcp",
        "a.zeek:5: Management::Agent::name: only a running Zeek can tell f(…)",
        "argument: there is no script nowhere, looked in /etc/zeek",
    ];
    assert_eq!(errors, expected);
    let remarks: Vec<String> = given
        .remarks()
        .iter()
        .map(|remark| format!("{}: {}", remark.origin, remark.text))
        .collect();
    assert_eq!(
        remarks,
        ["a.zeek:4: Broker::log_topic has no effect here: it is for the nodes"]
    );
    let skipped: Vec<_> = loaded
        .skipped
        .iter()
        .map(|(file, piece)| (file.as_str(), piece.line, piece.what.as_str()))
        .collect();
    assert_eq!(skipped, [("a.zeek", 6, "function g")]);
}

#[test]
fn code_of_the_command_line_is_a_script_too() {
    let (mut given, mut loaded) = load(&[], &[]);
    let code = "redef Management::Agent::name = \"e\"";
    given.load_code(
        "<command line>",
        &format!("{code}\n;\n"),
        &mut Files(BTreeMap::new()),
        &mut loaded,
    );
    assert_eq!(Settings::resolve(&given).unwrap().agent.name, "e");
}

/// A library that has every script.
struct Endless<F> {
    text: F,
    is_stock: bool,
}

impl<F: Fn(&str) -> String> Library for Endless<F> {
    fn find(&mut self, name: &str, _: Option<&str>) -> Found {
        Found::File {
            key: name.to_owned(),
            path: name.to_owned(),
            directory: "/etc/zeek".to_owned(),
            is_stock: self.is_stock,
            text: (self.text)(name),
        }
    }
}

fn load_endless(text: impl Fn(&str) -> String, is_stock: bool) -> (Given, Loaded) {
    let (mut given, mut loaded) = load(&[], &[]);
    given.load("start", &mut Endless { text, is_stock }, &mut loaded);
    (given, loaded)
}

#[test]
fn files_that_load_files_without_end_are_an_error() {
    let (given, loaded) = load_endless(|name| format!("@load {name}x\n"), false);
    let errors: Vec<_> = given
        .errors()
        .iter()
        .map(|it| it.problem.as_str())
        .collect();
    assert_eq!(errors, ["too many files that load files"]);
    assert_eq!(loaded.files.len(), MAX_DEPTH);
}

#[test]
fn more_files_or_text_than_any_deployment_has_are_an_error() {
    let loads = |count| -> String { (0..count).map(|n| format!("@load f{n}\n")).collect() };
    let many = |name: &str| match name {
        "start" => loads(MAX_FILES + 3),
        _ => String::new(),
    };
    let long = |name: &str| match name {
        "start" => loads(65),
        _ => "#".repeat(1 << 20),
    };
    for (found, files) in [
        (load_endless(many, false), MAX_FILES),
        (load_endless(long, false), 64),
    ] {
        let (given, loaded) = found;
        let first = given.errors().first().unwrap();
        assert_eq!(first.problem, "too many files are loaded");
        assert_eq!(loaded.files.len(), files);
    }
}

#[test]
fn zeeks_own_scripts_count_and_nobody_hears_of_what_is_in_them() {
    let text = "redef Management::Agent::name = \"stock\";\nfunction f() { }\n@endif\n";
    let (given, loaded) = load_endless(|_| text.to_owned(), true);
    assert_eq!(given.errors(), []);
    assert_eq!((loaded.files, loaded.skipped), (vec![], vec![]));
    assert_eq!(Settings::resolve(&given).unwrap().agent.name, "stock");
}
