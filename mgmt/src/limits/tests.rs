use super::*;
use crate::policy::file::PolicyFile;

#[test]
fn a_limit_is_set_by_its_name_and_only_within_its_range() {
    let mut limits = Limits::default();
    limits.set("clients", 7).unwrap();
    assert_eq!(limits.clients, 7);
    assert_eq!(limits.set("client", 7), Err(LimitError::Unknown));
    let error = limits.set("clients", 0).unwrap_err();
    assert_eq!(error.to_string(), "0 is not between 1 and 1000000");
    assert_eq!(limits.clients, 7);
}

#[test]
fn every_default_is_in_its_range_and_every_name_prints() {
    let mut limits = Limits::default();
    for (name, value) in Limits::default().entries() {
        limits.set(name, value).unwrap();
        assert!(Limits::NAMES.contains(&name));
    }
    assert_eq!(limits, Limits::default());
}

#[test]
fn the_defaults_are_those_of_the_parts() {
    let limits = Limits::default();
    assert_eq!(limits.endpoint(), Options::default());
    assert_eq!(limits.capacity(), Capacity::default());
}

#[test]
fn links_never_use_up_the_descriptors_that_the_program_needs() {
    let limits = Limits::default();
    assert_eq!(limits.within(1 << 20), None);
    for descriptors in [1, 256, 1024, 2048] {
        let fitted = limits.within(descriptors).unwrap();
        let links = fitted.links + fitted.clients + fitted.client_strangers;
        assert!(links <= descriptors.saturating_sub(RESERVED).max(LEAST));
        assert!(fitted.links_per_address <= fitted.links / 2);
        assert!(fitted.clients_per_address <= fitted.clients / 2);
    }
    let usual = limits.within(1024).unwrap();
    assert_eq!((usual.links, usual.clients), (585, 146));
    assert_eq!(usual.requests_per_second, limits.requests_per_second);
}

#[test]
fn api_documents_every_limit_with_its_default() {
    let api = include_str!("../../API.md");
    for (name, value) in Limits::default().entries() {
        let row = format!("| `{name}` | {value} |");
        assert!(api.contains(&row), "API.md lacks: {row}");
    }
}

#[test]
fn a_policy_file_sets_limits_and_every_bad_one_is_told_with_its_line() {
    let file = PolicyFile::read("[limits]\nclients = 7\n", "p").unwrap();
    assert_eq!(file.limits.clients, 7);
    assert_eq!(file.limits.links, Limits::default().links);
    let text = "[limits]\nclients = 0\nclient = 7\nlinks = \"many\"\nframe_bytes = -1\n";
    let problems = PolicyFile::read(text, "p").unwrap_err();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "p:2: clients: 0 is not between 1 and 1000000",
        "p:3: client: there is no limit of this name",
        "p:4: links: not a whole number",
        "p:5: frame_bytes: not a whole number",
    ];
    assert_eq!(problems, expected);
}
