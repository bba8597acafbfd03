//! Each layout as the table of API §1.5 gives it, written out.

use broker_proto::ByteString;

use super::*;
use crate::api::ClusterRole;

/// As the table has them.
const TABLE: [(Layout, usize, &str); 6] = [
    (
        Layout::V4_0,
        4,
        "name interface directory stdout_file stderr_file scripts cpu_affinity cluster",
    ),
    (
        Layout::V4_1,
        4,
        "name interface directory stdout_file stderr_file bare_mode scripts env cpu_affinity \
         cluster",
    ),
    (
        Layout::V5_1,
        4,
        "name interface directory stdout_file stderr_file bare_mode addl_base_scripts \
         addl_user_scripts scripts env cpu_affinity cluster",
    ),
    (
        Layout::V6_0,
        5,
        "name interface pcap_file directory stdout_file stderr_file bare_mode addl_base_scripts \
         addl_user_scripts scripts env cpu_affinity cluster",
    ),
    (
        Layout::V6_1,
        5,
        "name interface pcap_file directory stdout_file stderr_file bare_mode addl_base_scripts \
         addl_user_scripts env cpu_affinity cluster",
    ),
    (
        Layout::V7_0,
        6,
        "name interface pcap_file directory stdout_file stderr_file bare_mode addl_base_scripts \
         addl_user_scripts env cpu_affinity cluster",
    ),
];

#[test]
fn each_version_is_read_and_answered_in_its_own_layout() {
    for (layout, endpoint_fields, fields) in TABLE {
        let values = fields.split(' ').map(|field| value(field, endpoint_fields));
        let data = Data::Vector(values.collect());
        assert_eq!(Layout::seen_in(&data), Some(layout));
        let config = NodeConfig::from_data(data.clone()).unwrap();
        assert_eq!(config.name, "w");
        assert_eq!(config.interface, None);
        assert_eq!(config.directory.as_deref(), Some("d"), "{layout:?}");
        assert_eq!(config.stdout_file.as_deref(), Some("out"), "{layout:?}");
        assert_eq!(config.stderr_file.as_deref(), Some("err"), "{layout:?}");
        assert_eq!(config.cpu_affinity, Some(3), "{layout:?}");
        let has = |field| fields.split(' ').any(|other| other == field);
        assert_eq!(config.pcap_file.is_some(), has("pcap_file"));
        assert_eq!(config.bare_mode.is_some(), has("bare_mode"));
        assert_eq!(config.env.len(), usize::from(has("env")));
        let lists = [
            config.addl_base_scripts.clone(),
            config.addl_user_scripts.clone(),
        ];
        let want: &[&str] = if has("addl_user_scripts") {
            &["base", "user"]
        } else {
            &[]
        };
        assert_eq!(lists.concat(), want, "{layout:?}");
        let scripts = has("scripts").then(|| vec!["s".to_owned()]);
        assert_eq!(config.scripts, scripts, "{layout:?}");
        assert_eq!(config.cluster["w"].role, ClusterRole::Worker);
        assert_eq!(config.into_data_as(layout), data, "{layout:?}");
    }
}

fn value(field: &str, endpoint_fields: usize) -> Data {
    let port = if endpoint_fields < 6 {
        Port::tcp(0)
    } else {
        Port::NONE
    };
    match field {
        "name" => text("w"),
        "interface" => Data::None,
        "pcap_file" => text("t.pcap"),
        "directory" => text("d"),
        "stdout_file" => text("out"),
        "stderr_file" => text("err"),
        "bare_mode" => Data::Boolean(true),
        "addl_base_scripts" => texts(&["base"]),
        "addl_user_scripts" => texts(&["user"]),
        "scripts" => texts(&["s"]),
        "env" => Data::Table([(text("K"), text("V"))].into_iter().collect()),
        "cpu_affinity" => Data::Integer(3),
        "cluster" => {
            let member = (text("w"), endpoint(endpoint_fields, port));
            Data::Table([member].into_iter().collect())
        }
        other => panic!("no field {other}"),
    }
}

#[test]
fn a_port_that_is_none_has_no_protocol_since_7_0_only() {
    let mut config = NodeConfig::named("w");
    let endpoint = ClusterEndpoint::from_data(endpoint(6, Port::NONE)).unwrap();
    config.cluster.insert("w".into(), endpoint);
    let port = |layout| {
        let Data::Vector(mut values) = config.clone().into_data_as(layout) else {
            panic!("no record");
        };
        let cluster = BTreeMap::<String, Vec<Data>>::from_data(values.pop().unwrap()).unwrap();
        cluster["w"][2].clone()
    };
    assert_eq!(port(Layout::V7_0), Data::Port(Port::NONE));
    assert_eq!(port(Layout::V6_1), Data::Port(Port::tcp(0)));
}

#[test]
fn a_flag_that_is_unset_tells_6_1_from_5_1() {
    let mut config = NodeConfig::named("w");
    assert_eq!(
        Layout::seen_in(&config.clone().into_data()),
        None,
        "no cluster"
    );
    let Data::Vector(values) = config.clone().into_data() else {
        panic!("no record");
    };
    assert_eq!((values.len(), &values[6]), (12, &Data::None));
    assert_eq!(
        NodeConfig::from_data(Data::Vector(values)),
        Ok(config.clone())
    );
    config.scripts = Some(Vec::new());
    let old = config.clone().into_data_as(Layout::V5_1);
    assert_eq!(Layout::seen_in(&old), Some(Layout::V5_1));
    assert_eq!(NodeConfig::from_data(old), Ok(config));
}

#[test]
fn a_longer_record_than_any_is_read_as_the_youngest() {
    let config = NodeConfig::named("w");
    let Data::Vector(mut values) = config.clone().into_data() else {
        panic!("no record");
    };
    values.extend([Data::string("more"), Data::Count(1)]);
    assert_eq!(NodeConfig::from_data(Data::Vector(values)), Ok(config));
}

#[test]
fn a_field_of_another_type_is_named() {
    let mut values = vec![text("w")];
    values.resize(12, Data::None);
    values[11] = Data::Count(1);
    let error = NodeConfig::from_data(Data::Vector(values)).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text,
        "Supervisor::NodeConfig, Cluster: expected table, got count"
    );
    assert!(NodeConfig::from_data(Data::Vector(vec![])).is_err());
    assert!(NodeConfig::from_data(Data::None).is_err());
}

#[test]
fn versions_have_the_layout_of_the_table() {
    for (version, layout) in [
        ("3.2", None),
        ("4.0.9", Some(Layout::V4_0)),
        ("4.2", Some(Layout::V4_1)),
        ("5.0.1", Some(Layout::V4_1)),
        ("5.2.2", Some(Layout::V5_1)),
        ("6.0", Some(Layout::V6_0)),
        ("6.2.0", Some(Layout::V6_1)),
        ("7", Some(Layout::V7_0)),
        ("9.0.0-rc1", Some(Layout::V7_0)),
        ("new", None),
        ("", None),
    ] {
        assert_eq!(Layout::of_version(version), layout, "{version}");
    }
}

fn text(text: &str) -> Data {
    Data::String(ByteString::from(text))
}

fn texts(texts: &[&str]) -> Data {
    Data::Vector(texts.iter().map(|&t| text(t)).collect())
}

fn endpoint(fields: usize, p: Port) -> Data {
    let mut endpoint = vec![
        Data::enum_value("Supervisor::WORKER"),
        Data::Address("127.0.0.1".parse().unwrap()),
        Data::Port(p),
        text("lo"),
        Data::None,
        Data::Port(Port::tcp(9000)),
    ];
    endpoint.truncate(fields);
    Data::Vector(endpoint)
}

#[test]
fn what_is_no_configuration_or_status_shows_no_layout() {
    let table = |value| Data::Table([(Data::string("w"), value)].into_iter().collect());
    let record = |field| Data::Vector(vec![field]);
    for status in [
        Data::None,
        Data::Vector(Vec::new()),
        record(Data::None),
        record(table(Data::None)),
        record(table(Data::Vector(Vec::new()))),
        record(table(record(Data::None))),
    ] {
        assert_eq!(Layout::seen_in_status(&status), None, "{status:?}");
    }
    let Data::Vector(mut fields) = NodeConfig::named("w").into_data_as(Layout::V7_0) else {
        panic!("a record is a vector");
    };
    for cluster in [Data::None, table(Data::None)] {
        fields[11] = cluster;
        assert_eq!(Layout::seen_in(&Data::Vector(fields.clone())), None);
    }
}

#[test]
fn a_node_outside_a_cluster_has_no_name_in_one() {
    let mut node = NodeConfig::named("w");
    assert_eq!(node.cluster_node(), "");
    let member = ClusterEndpoint {
        role: ClusterRole::Worker,
        host: broker_proto::Address::UNSPECIFIED,
        p: Port::NONE,
        interface: None,
        pcap_file: None,
        metrics_port: None,
    };
    node.cluster.insert("w".into(), member);
    assert_eq!(node.cluster_node(), "w");
}
