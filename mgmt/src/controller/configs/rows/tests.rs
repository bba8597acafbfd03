use std::collections::BTreeSet;

use broker_proto::Port;

use super::*;
use crate::model::{ClusterRole, Instance, Node};

/// Of `tests/transcripts/c2a/state`, as Zeek 8.0.10 wrote them (API §4.9).
const STAGED: &str =
    "0b274d616e6167656d656e743a3a436f6e74726f6c6c65723a3a52756e74696d653a3a535441474544";
const READY: &str =
    "0b264d616e6167656d656e743a3a436f6e74726f6c6c65723a3a52756e74696d653a3a5245414459";
const DEPLOYED: &str =
    "0b294d616e6167656d656e743a3a436f6e74726f6c6c65723a3a52756e74696d653a3a4445504c4f594544";
/// All three have the same value there, since the client gave every host and port.
const VALUE: &str = concat!(
    // Three fields: id, instances, nodes.
    "0e03052439393662633130302d653565322d313166312d383466322d356532303036",
    "3463383433610c010e03050a696e7374616e63652d310600000000000000000000ffff7f000001080867010c03",
    // logger-01
    "0e0b05096c6f676765722d3031050a696e7374616e63652d310b1253757065727669736f723a3a4c4f47474552",
    "0b134d616e6167656d656e743a3a52554e4e494e4708138901000000000d0000",
    // manager
    "0e0b05076d616e61676572050a696e7374616e63652d310b1353757065727669736f723a3a4d414e41474552",
    "0b134d616e6167656d656e743a3a52554e4e494e4708138801000000000d0000",
    // worker-01
    "0e0b0509776f726b65722d3031050a696e7374616e63652d310b1253757065727669736f723a3a574f524b4552",
    "0b134d616e6167656d656e743a3a52554e4e494e4700000005026c6f000d0000",
);

#[test]
fn rows_that_stock_wrote_are_read_and_written_alike() {
    let rows = [row(STAGED, VALUE), row(READY, VALUE), row(DEPLOYED, VALUE)];
    let (saved, layout) = Saved::from_rows(rows.clone()).unwrap();
    assert_eq!(layout, Layout::Current);
    assert_eq!(saved.staged, Some(recorded()));
    assert_eq!(saved.ready, Some(recorded()));
    assert_eq!(saved.deployed, Some(recorded()));
    let written = saved.to_rows().unwrap();
    let want = rows.map(|Row { key, value }| {
        let value = Some(value);
        Slot { key, value }
    });
    assert_eq!(written, want);
}

#[test]
fn each_row_is_the_configuration_of_its_key() {
    for (key, place) in [(STAGED, 0), (READY, 1), (DEPLOYED, 2)] {
        let (saved, _) = Saved::from_rows([row(key, VALUE)]).unwrap();
        let mut want = [None, None, None];
        want[place] = Some(recorded());
        assert_eq!(
            [
                saved.staged.clone(),
                saved.ready.clone(),
                saved.deployed.clone()
            ],
            want
        );
        let written = saved.to_rows().unwrap();
        let there = written.map(|slot| slot.value.is_some());
        assert_eq!(there.iter().position(|is| *is), Some(place));
        assert_eq!(there.iter().filter(|is| **is).count(), 1);
    }
}

#[test]
fn nothing_stored_is_nothing_kept() {
    assert_eq!(
        Saved::from_rows([]),
        Ok((Saved::default(), Layout::Current))
    );
}

#[test]
fn nodes_without_metrics_port_are_taken_over_from_zeek_before_7_0() {
    // Ten fields, the last one gone.
    let older = VALUE.replace("0e0b05", "0e0a05").replace("0d0000", "0d00");
    let (saved, layout) = Saved::from_rows([row(DEPLOYED, &older)]).unwrap();
    assert_eq!(layout, Layout::Older);
    assert_eq!(saved.deployed, Some(recorded()));
    // What is written is what stock has today.
    let [_, _, written] = saved.to_rows().unwrap();
    assert_eq!(written.value, Some(unhex(VALUE)));
}

#[test]
fn rows_that_are_not_a_controllers_are_refused() {
    let text = |rows: &[Row]| Saved::from_rows(rows.to_vec()).unwrap_err().to_string();
    // Count 1.
    let count = "020000000000000001";
    assert_eq!(text(&[row("ff", VALUE)]), "a key does not read");
    assert_eq!(
        text(&[row(count, VALUE)]),
        "a key is not one of a controller"
    );
    // Management::RUNNING.
    let other = "0b134d616e6167656d656e743a3a52554e4e494e47";
    assert_eq!(
        text(&[row(other, VALUE)]),
        "a key is not one of a controller"
    );
    assert_eq!(
        text(&[row(STAGED, &VALUE[..VALUE.len() - 2])]),
        "the value of Management::Controller::Runtime::STAGED does not read"
    );
    assert_eq!(
        text(&[row(READY, count)]),
        "the value of Management::Controller::Runtime::READY is no configuration"
    );
    // Its nodes are a count.
    assert_eq!(
        text(&[row(DEPLOYED, "0e030501630c00020000000000000001")]),
        "the value of Management::Controller::Runtime::DEPLOYED is no configuration"
    );
    assert_eq!(
        text(&[row(DEPLOYED, VALUE), row(DEPLOYED, VALUE)]),
        "Management::Controller::Runtime::DEPLOYED is there twice"
    );
}

#[test]
fn every_cut_of_a_row_is_an_error() {
    for hex in [DEPLOYED, VALUE] {
        let whole = unhex(hex);
        for len in 0..whole.len() {
            let cut = whole[..len].to_vec();
            let (key, value) = if hex == VALUE {
                (unhex(DEPLOYED), cut)
            } else {
                (cut, unhex(VALUE))
            };
            assert!(
                Saved::from_rows([Row { key, value }]).is_err(),
                "{len} bytes"
            );
        }
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let mut config = recorded();
    let mut worker = config.nodes.pop_last().unwrap();
    worker.scripts = Some(vec!["x".repeat(MAX_VALUE)]);
    config.nodes.insert(worker.clone());
    let saved = |config| Saved {
        staged: Some(config),
        ..Saved::default()
    };
    assert_eq!(saved(config.clone()).to_rows(), Err(TooLarge));
    config.nodes.remove(&worker);
    worker.scripts = Some(vec![String::new(); 1 << 20]);
    config.nodes.insert(worker);
    assert_eq!(saved(config).to_rows(), Err(TooLarge));
}

/// What [`VALUE`] says.
fn recorded() -> Configuration {
    let node = |name: &str, role, port: Option<u16>, interface: Option<&str>| Node {
        p: port.map(Port::tcp),
        interface: interface.map(str::to_owned),
        ..Node::new("instance-1", name, role)
    };
    Configuration {
        id: "996bc100-e5e2-11f1-84f2-5e20064c843a".into(),
        instances: BTreeSet::from([Instance {
            name: "instance-1".into(),
            host: "127.0.0.1".parse().unwrap(),
            listen_port: Some(Port::tcp(2151)),
        }]),
        nodes: BTreeSet::from([
            node("logger-01", ClusterRole::Logger, Some(5001), None),
            node("manager", ClusterRole::Manager, Some(5000), None),
            node("worker-01", ClusterRole::Worker, None, Some("lo")),
        ]),
    }
}

fn row(key: &str, value: &str) -> Row {
    Row {
        key: unhex(key),
        value: unhex(value),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}
