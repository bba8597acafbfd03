//! Scripts that settings are read from.

use std::path::Path;

use mgmt::settings::{FoundFile, Given, Library, Loaded, Program, Settings, Sources};

/// One script under many names: it may load itself, and again in another directory, three deep.
struct OneScript(String);

impl Library for OneScript {
    fn find(&mut self, name: &str, from: Option<&str>) -> FoundFile {
        if name.contains("missing") {
            let places = String::new();
            return FoundFile::Missing { places };
        }
        let from = from.unwrap_or_default();
        let below = if from.len() < 6 { "/d" } else { "" };
        FoundFile::File {
            key: format!("{from}/{name}"),
            path: name.to_owned(),
            directory: format!("{from}{below}"),
            is_stock: name.contains("stock"),
            text: self.0.clone(),
        }
    }
}

/// A script with settings in it (API §8.2). What is understood, is understood again when it is
/// handed on to another program as arguments.
pub fn redef(input: &[u8]) {
    const PROGRAMS: [Program; 3] = [Program::Controller, Program::Agent, Program::Supervisor];
    let sources = Sources {
        env: [("ZEEK_AGENT_NAME".to_owned(), "agent".to_owned())].into(),
        hostname: "host".to_owned(),
        prefix: "/zeek".into(),
    };
    let text = String::from_utf8_lossy(input).into_owned();
    let mut given = Given::new(sources.clone());
    let mut loaded = Loaded::default();
    given.load("script", &mut OneScript(text), &mut loaded);
    let shown = given.show(&PROGRAMS);
    assert!(!shown.contains("\n\n"), "a value breaks a line:\n{shown}");
    if Settings::resolve(&given).is_err() {
        return;
    }
    for program in PROGRAMS {
        let arguments = given.arguments(program, Path::new("/base"));
        let mut again = Given::new(sources.clone());
        let scripts = arguments.iter().take_while(|word| *word == "--redef");
        let settings = arguments.iter().skip(scripts.count() * 2);
        for setting in settings.clone() {
            again.argument(setting);
        }
        assert_eq!(again.errors(), [], "what was read is handed on wrongly");
        let handed_on = again.arguments(program, Path::new("/base"));
        assert!(
            settings.eq(&handed_on),
            "{arguments:?} became {handed_on:?}"
        );
    }
}
