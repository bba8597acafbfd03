//! What a short answer says is what the long one says.

use broker_proto::codec::Limits;
use broker_proto::{Port, Table};

use super::*;
use crate::api::{ClusterEndpoint, ClusterRole, Layout};

#[test]
fn each_cluster_is_said_once() {
    let (big, small) = (cluster(2), cluster(1));
    let status = status([Some(&big), None, Some(&small), Some(&big)]);
    let event = decoded(status.encode_short("r1"));
    assert_eq!(event.name, "SupervisorControl::short_status_response");
    let rows = [Some(0), None, Some(1), Some(0)];
    let rows = rows.into_iter().enumerate().map(|(n, cluster)| {
        let name = Data::string(format!("node-{n:02}"));
        let cluster = cluster.map_or(Data::None, Data::Count);
        let row = vec![node(name.clone()), Data::Integer(7), cluster];
        (name, Data::Vector(row))
    });
    let clusters = vec![members(2), members(1)];
    let args = vec![
        Data::string("r1"),
        Data::Vector(clusters),
        Data::Table(rows.collect()),
    ];
    assert_eq!(event.args, args);
}

#[test]
fn the_short_answer_is_read_as_the_long_one() {
    let (big, small) = (cluster(64), cluster(3));
    let status = status([Some(&big), None, Some(&small), Some(&big)]);
    let long = status.encode_response("r1", Layout::V7_0);
    let short = status.encode_short("r1");
    let read = SupervisorResponse::of_event(decoded(short)).unwrap();
    assert_eq!(
        SupervisorResponse::of_event(decoded(long)),
        Ok(read.clone())
    );
    let SupervisorResponse::Status { result, .. } = read else {
        panic!("another response");
    };
    let nodes: Vec<_> = result.nodes.values().map(|status| &status.node).collect();
    assert!(nodes[0].cluster.is_one_with(&nodes[3].cluster));
}

#[test]
fn the_short_answer_for_64_nodes_is_a_tenth_of_the_long_one() {
    let big = cluster(64);
    let status = status([Some(&big); 64]);
    let long = status.encode_response("r1", Layout::V7_0).len();
    let short = status.encode_short("r1").len();
    assert!(short * 10 < long, "{short} of {long} bytes");
}

#[test]
fn a_cluster_that_is_not_there_is_an_error() {
    let row = |cluster| {
        let name = Data::string("w");
        let row = vec![node(name.clone()), Data::None, Data::Count(cluster)];
        Data::Table(Table::from([(name, Data::Vector(row))]))
    };
    for (place, error) in [
        (1, "there is no cluster 1"),
        (u64::MAX, "there is no cluster 18446744073709551615"),
    ] {
        let clusters = Data::Vector(vec![members(2)]);
        let event = Event::new(SHORT_STATUS, vec![Data::string("r"), clusters, row(place)]);
        let text = SupervisorResponse::of_event(event).unwrap_err().to_string();
        assert_eq!(text, format!("{SHORT_STATUS}, argument nodes: {error}"));
    }
}

#[test]
fn only_a_request_that_says_so_takes_a_short_answer() {
    let mut request = Event::new("SupervisorControl::status_request", Vec::new());
    assert!(!accepts_short(&request));
    request.metadata = Some(vec![(1, Data::Boolean(true)), (2149, Data::Count(1))]);
    assert!(!accepts_short(&request));
    accept_short(&mut request);
    assert!(accepts_short(&request));
    let entry = Data::Vector(vec![Data::Count(2149), Data::Boolean(true)]);
    let Data::Vector(message) = request.into_data() else {
        panic!("no message");
    };
    let Data::Vector(content) = &message[2] else {
        panic!("no content");
    };
    let Data::Vector(metadata) = &content[2] else {
        panic!("no metadata");
    };
    assert_eq!(metadata.last(), Some(&entry));
}

fn decoded(payload: Bytes) -> Event {
    Event::decode(&payload, &Limits::default()).unwrap()
}

fn status<const N: usize>(clusters: [Option<&Cluster>; N]) -> Status {
    let nodes = clusters.into_iter().enumerate().map(|(n, cluster)| {
        let name = format!("node-{n:02}");
        let node = NodeConfig {
            cluster: cluster.cloned().unwrap_or_default(),
            ..NodeConfig::named(name.as_str())
        };
        (name, NodeStatus { node, pid: Some(7) })
    });
    Status {
        nodes: nodes.collect(),
    }
}

/// A configuration with nothing but a name, in the youngest layout (API §1.5).
fn node(name: Data) -> Data {
    let mut fields = vec![name];
    fields.extend([const { Data::None }; 6]);
    fields.extend([Data::Vector(Vec::new()), Data::Vector(Vec::new())]);
    fields.push(Data::Table(Table::from([])));
    fields.extend([Data::None, Data::Table(Table::from([]))]);
    Data::Vector(fields)
}

fn cluster(members: u16) -> Cluster {
    let members = (0..members).map(|n| {
        let endpoint = ClusterEndpoint {
            role: ClusterRole::Worker,
            host: "127.0.0.1".parse().unwrap(),
            p: Port::tcp(5000 + n),
            interface: None,
            pcap_file: None,
            metrics_port: None,
        };
        (format!("node-{n:02}"), endpoint)
    });
    members.collect::<BTreeMap<_, _>>().into()
}

/// The same as a value.
fn members(members: u16) -> Data {
    let members = (0..members).map(|n| {
        let endpoint = vec![
            Data::enum_value("Supervisor::WORKER"),
            Data::Address("127.0.0.1".parse().unwrap()),
            Data::Port(Port::tcp(5000 + n)),
            Data::None,
            Data::None,
            Data::None,
        ];
        (Data::string(format!("node-{n:02}")), Data::Vector(endpoint))
    });
    Data::Table(members.collect())
}
