use super::*;
use crate::settings::value::Value;

/// A host where nothing is set.
struct Bare;

impl Scope for Bare {
    fn variable(&self, name: &str) -> String {
        let value = if name == "SENSOR" { "north" } else { "" };
        value.to_owned()
    }

    fn hostname(&self) -> String {
        "host".to_owned()
    }

    fn option(&self, name: &str) -> Option<Value> {
        let port = "2150/tcp".parse().map(Value::Port).ok();
        port.filter(|_| name == "Management::Controller::default_port")
    }
}

fn script(text: &str) -> Script {
    let interest = Interest {
        wanted: |name| name.starts_with("Management::"),
        known: |name| name == "Management::Agent::name",
    };
    read(text, "/etc/zeek", interest)
}

fn told(text: &str) -> Result<String, String> {
    evaluate(expression(text), &Bare).map(|value| value.to_string())
}

/// Line, option and value of each redefinition.
fn redefs(text: &str) -> Vec<(usize, String, String)> {
    let script = script(text);
    assert_eq!(script.errors, []);
    let told = script
        .statements
        .into_iter()
        .filter_map(|statement| match statement {
            Statement::Load { .. } => None,
            Statement::Redef {
                option,
                operator,
                value,
                line,
            } => {
                let value = evaluate(value, &Bare).unwrap().to_string();
                let sign = if operator == Operator::Add { "+" } else { "" };
                Some((line, option, format!("{sign}{value}")))
            }
        });
    told.collect()
}

fn skipped(text: &str) -> Vec<(usize, String, bool)> {
    let script = script(text);
    assert_eq!(script.errors, []);
    let skipped = script.skipped.into_iter();
    skipped
        .map(|piece| (piece.line, piece.what, piece.relevant))
        .collect()
}

fn errors(text: &str) -> Vec<(usize, String)> {
    let errors = script(text).errors.into_iter();
    errors.map(|error| (error.line, error.problem)).collect()
}

fn owned(lines: &[(usize, &str, &str)]) -> Vec<(usize, String, String)> {
    let lines = lines.iter();
    lines
        .map(|(line, a, b)| (*line, (*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// The examples of `doc/frameworks/management.rst`.
#[test]
fn stocks_documentation_reads_as_it_is_meant() {
    let text = r#"
redef Management::Agent::controller = [$address="1.2.3.4", $bound_port=21500/tcp];
redef Management::Controller::name = "controller1";
   redef Management::Agent::name = "agent1";
redef Management::Controller::default_port_websocket = 21490/tcp;
redef Management::default_address = "127.0.0.1";
"#;
    let expected = [
        (
            2,
            "Management::Agent::controller",
            "[$address=\"1.2.3.4\", $bound_port=21500/tcp]",
        ),
        (3, "Management::Controller::name", "\"controller1\""),
        (4, "Management::Agent::name", "\"agent1\""),
        (
            5,
            "Management::Controller::default_port_websocket",
            "21490/tcp",
        ),
        (6, "Management::default_address", "\"127.0.0.1\""),
    ];
    assert_eq!(redefs(text), owned(&expected));
}

/// Lines of zeek-testing-cluster's scripts and tests.
#[test]
fn upstreams_test_scripts_read_as_they_are_meant() {
    let text = r#"@load policy/frameworks/management/agent
@load policy/frameworks/management/supervisor/config

# For testing it's helpful to see all node output on the console, because it
redef Management::Supervisor::print_stdout = T;
redef Management::Agent::controller = [$address="0.0.0.0", $bound_port=0/unknown];
redef Management::Request::timeout_interval = 1sec;
redef Management::Agent::archive_cmd="echo >>/tmp/archiver.log";
redef Management::Agent::name = "";
redef Management::Controller::tls_options_websocket = Cluster::WebSocketTLSOptions(
  $ca_file="/usr/local/etc/certs/ca.pem",
  $cert_file="/usr/local/etc/certs/cert.1.pem",
);
@load ./local.zeek
"#;
    let tls = "[$ca_file=\"/usr/local/etc/certs/ca.pem\", $cert_file=\"/usr/local/etc/certs/cert.1.pem\"]";
    let expected = [
        (5, "Management::Supervisor::print_stdout", "T"),
        (
            6,
            "Management::Agent::controller",
            "[$address=\"0.0.0.0\", $bound_port=0/unknown]",
        ),
        (7, "Management::Request::timeout_interval", "1sec"),
        (
            8,
            "Management::Agent::archive_cmd",
            "\"echo >>/tmp/archiver.log\"",
        ),
        (9, "Management::Agent::name", "\"\""),
        (10, "Management::Controller::tls_options_websocket", tls),
    ];
    assert_eq!(redefs(text), owned(&expected));
    let loads = script(text)
        .statements
        .into_iter()
        .filter_map(|statement| match statement {
            Statement::Load { what, line } => Some((line, what)),
            Statement::Redef { .. } => None,
        });
    let expected = [
        (1, "policy/frameworks/management/agent"),
        (2, "policy/frameworks/management/supervisor/config"),
        (14, "./local.zeek"),
    ];
    let expected = expected.map(|(line, what)| (line, what.to_owned()));
    assert_eq!(loads.collect::<Vec<_>>(), expected);
}

#[test]
fn constants_are_told_as_zeek_tells_them() {
    let same = |text: &str| assert_eq!(told(text).as_deref(), Ok(text));
    for text in [
        "T",
        "F",
        "0",
        "18446744073709551615",
        "-5",
        "1.5",
        "\"a\\tb\"",
        "53/udp",
        "0/unknown",
        "10secs",
        "1min",
        "2hrs",
        "1day",
        "0.5secs",
        "1.2.3.4",
        "[::1]",
        "Management::Log::DEBUG",
        "[$a=1, $b=[$c=T]]",
        "{1, 2}",
    ] {
        same(text);
    }
    for (text, value) in [
        ("0x1F", "31"),
        ("1e3", "1000.0"),
        ("10 secs", "10secs"),
        ("500 msec", "0.5secs"),
        ("90sec", "90secs"),
        ("-1.5 min", "-90secs"),
        ("3 hr", "3hrs"),
        ("vector(1, 2,)", "{1, 2}"),
        ("set()", "{}"),
        ("(\"a\")", "\"a\""),
        ("\"a\" + \"b\" + \"c\"", "\"abc\""),
        ("\"\\x41\\102\\q\\\\\"", "\"ABq\\\\\""),
        ("\"\\x4g\\1z\"", "\"\\x04g\\x01z\""),
        ("_site::_name", "_site::_name"),
        ("getenv(\"SENSOR\") + \"-1\"", "\"north-1\""),
        ("fmt(\"agent-%s\", gethostname())", "\"agent-host\""),
        ("cat(\"n\", 1)", "\"n1\""),
        ("build_path(\"/a\", \"b\")", "\"/a/b\""),
        ("build_path(\"/a/\", \"b\")", "\"/a/b\""),
        ("build_path(\"/a\", \"/b\")", "\"/b\""),
        ("to_port(\"80/tcp\")", "80/tcp"),
        ("Management::Controller::default_port", "2150/tcp"),
        ("Broker::NetworkInfo($address=\"a\")", "[$address=\"a\"]"),
    ] {
        assert_eq!(told(text).as_deref(), Ok(value), "{text}");
    }
}

#[test]
fn what_is_no_constant_is_an_error() {
    for (text, problem) in [
        ("", "there is no value"),
        ("70000/tcp", "70000/tcp is no port, the highest is 65535"),
        ("\"a", "the string does not end"),
        ("\"\\xff\"", "the string is not UTF-8"),
        ("\"a\" + 1", "\"a\" and 1 cannot be added"),
        ("1 2", "2 is not expected there"),
        ("1.2.3", "1.2.3 is no number"),
        ("1e", "'e' is not expected there"),
        ("5 min_x", "'min_x' is not expected there"),
        ("[$1=2]", "'$' without a name"),
        ("[$a=1, 2]", "fields and elements in one pair of brackets"),
        ("[$a=1", "']' is missing"),
        ("[1 2]", "2 is not expected there"),
        (
            "my_function(1)",
            "only a running Zeek can tell my_function(…)",
        ),
        ("T ? 1 : 2", "only a running Zeek can tell '?'"),
        (
            "fmt(\"%5.2f\", 1.0)",
            "only a running Zeek can tell this fmt(…)",
        ),
        ("/a/", "a pattern is not expected there"),
        ("99999999999999999999", "99999999999999999999 is too large"),
    ] {
        assert_eq!(told(text), Err(problem.to_owned()), "{text}");
    }
    let half = format!("\"{}\"", "x".repeat(40_000));
    for text in [
        format!("{half} + {half}"),
        format!("fmt(\"%s%s\", {half}, {half})"),
    ] {
        assert_eq!(told(&text), Err("the text is too long".to_owned()));
    }
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(told(&deep), Err("too many values within values".to_owned()));
    assert_eq!(
        told(&"1,".repeat(20_000)),
        Err("the value is too long".to_owned())
    );
}

#[test]
fn everything_else_is_stepped_over_whole_and_named() {
    let text = r#"module Foo; # redef Management::Agent::name = "comment";
export {
    ## redef Management::Agent::name = "comment";
    type Info: record { a: count &log; b: set[string] &default=set(); } &log;
    redef enum Log::ID += { LOG };
    global f: function(s: string): string;
    redef Management::Agent::name = "in export";
}
const re = /redef "Management/ | /x\/y;/i &redef;
function f(s: string): string
    {
    if ( |s| / 2 > 1 ) { return "redef Management::Agent::name = 1;"; } else { return "}"; }
    }
event zeek_init() &priority=5
    {
@if ( T ||
      F )
    if ( f("x") == "y" ) {
@else
    if ( f("x") == "z" ) {
@endif
        print Management::Agent::name;
    }
    }
@ifdef ( Conn::LOG )
redef Management::Agent::name = "not taken";
@if ( F )
@endif
# @endif
@else
it's not even Zeek
@endif
redef Site::local_nets += { "\xff", 99999999999999999999, 70000/tcp, 10.0.0.0/8, [fe80::]/10 };
if ( T ) print "a"; else { print "b"; }
when ( T ) { } timeout 5sec { }
Notice::policy(1);
@load-sigs ./foo.sig
redef Management::Agent::name += "!" &redef;
"#;
    let expected = [
        (7, "Management::Agent::name", "\"in export\""),
        (38, "Management::Agent::name", "+\"!\""),
    ];
    assert_eq!(redefs(text), owned(&expected));
    let expected = [
        (4, "type Info", false),
        (5, "redef enum Log::ID", false),
        (6, "global f", false),
        (9, "const re", false),
        (10, "function f", true),
        (14, "event zeek_init", true),
        (25, "@ifdef ( Conn::LOG )", true),
        (33, "redef Site::local_nets", false),
        (34, "if", false),
        (35, "when", false),
        (36, "Notice::policy", false),
    ];
    let expected = expected.map(|(line, what, relevant)| (line, what.to_owned(), relevant));
    assert_eq!(skipped(text), expected);
}

#[test]
fn what_is_stepped_over_tells_what_of_the_framework_it_names() {
    let text = r#"
event zeek_init() { Supervisor::create([$name="x"]); Supervisor::create([$name="y"]); print Site::x; }
hook Supervisor::stdout_hook(n: string, m: string) { break; }
@if ( Supervisor::is_supervisor() )
redef Management::Agent::name = "x";
@endif
@ifdef ( Management::Agent::name )
@load policy/frameworks/management/agent
@endif
event Conn::x() { }
"#;
    let names = script(text).skipped.into_iter();
    let names: Vec<_> = names.map(|piece| (piece.line, piece.names)).collect();
    let expected = [
        (2, vec!["Supervisor::create"]),
        (3, vec!["Supervisor::stdout_hook"]),
        (
            4,
            vec!["Supervisor::is_supervisor", "Management::Agent::name"],
        ),
        (7, vec!["Management::Agent::name", "frameworks/management"]),
        (10, vec![]),
    ];
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names, expected.map(|(line, names)| (line, owned(names))));
}

#[test]
fn names_in_a_module_are_looked_up_there_first() {
    let text = "module Management::Agent;\nredef name = \"a\";\nredef other = 1;\nredef Management::x = 1;\nmodule GLOBAL;\nredef ::Management::role = 1;\nredef name = 1;";
    let expected = [
        (2, "Management::Agent::name", "\"a\""),
        (4, "Management::x", "1"),
        (6, "Management::role", "1"),
    ];
    assert_eq!(redefs(text), owned(&expected));
}

#[test]
fn what_zeek_would_refuse_is_told_with_its_line() {
    let text = "redef Management::x = \"a\n;\n\nredef Management::y 1;\n@load\n@endif\nredef Management::z = 1\nevent x() {}\nredef Management::ok = 1;\n@if ( T )\n";
    let expected = [
        (1, "the string does not end in its line"),
        (4, "redef without = or +="),
        (5, "@load of nothing"),
        (6, "@endif without @if"),
        (8, "the redef does not end before this"),
        (10, "@if without @endif"),
    ];
    let mut found = errors(text);
    // What is wrong within a value is told when the value is.
    let bad = script(text)
        .statements
        .into_iter()
        .filter_map(|statement| match statement {
            Statement::Redef { value, line, .. } => Some((line, evaluate(value, &Bare).err()?)),
            Statement::Load { .. } => None,
        });
    found.extend(bad);
    found.sort();
    assert_eq!(
        found,
        expected.map(|(line, problem)| (line, problem.to_owned()))
    );
}

#[test]
fn hostile_text_costs_no_more_than_its_length() {
    for piece in [
        "{",
        "redef Management::x = [",
        "@if (\n",
        "\"",
        "/",
        "[",
        "redef ",
        "(",
        "@load x\n",
        "&",
        "- ",
    ] {
        let text = piece.repeat(50_000);
        let script = script(&text);
        assert!(
            script.errors.len() <= 100 && script.skipped.len() <= 1000,
            "{piece}"
        );
    }
}

#[test]
fn what_is_quoted_ends_no_conditional_and_no_condition() {
    let text = r#"
@if ( f("(") == ")" )
print "@endif # \" @endif"; # @endif
redef Management::Agent::name = "not taken";
@endif
redef Management::Agent::name = "taken" &add_func=f;
@not_known
"#;
    let expected = [(6, "Management::Agent::name", "\"taken\"")];
    assert_eq!(redefs(text), owned(&expected));
    let expected = [
        (2, "@if ( f(\"(\") == \")\" )", true),
        (7, "@not_known", false),
    ];
    let expected = expected.map(|(line, what, relevant)| (line, what.to_owned(), relevant));
    assert_eq!(skipped(text), expected);
}

#[test]
fn an_else_inside_a_function_belongs_to_an_if_inside_it() {
    let open = "event x()\n{\n@if ( T )\n@else\n}\nredef Management::a = 1;\n";
    let problem = "@else without @endif".to_owned();
    assert_eq!(errors(open), [(4, problem)]);
    let stray = "event x()\n{\n@else\n}\nredef Management::a = 1;\n";
    assert_eq!(
        redefs(stray),
        owned(&[(5, "Management::a", "1")]),
        "it hides nothing behind it"
    );
}

#[test]
fn of_what_is_stepped_over_only_so_much_is_remembered() {
    let many = script(&"print 1;\n".repeat(5000)).skipped;
    assert_eq!((many.len(), many[999].line), (1000, 1000));
    let names: Vec<String> = (1..=20).map(|n| format!("Management::x{n}")).collect();
    let event = format!("event x() {{ print {}; }}", names.join(", "));
    assert_eq!(script(&event).skipped[0].names, names[..8]);
}
