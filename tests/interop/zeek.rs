//! A live Zeek in the place of the stand-in, if `ZEEK_BIN` names one.

use std::env;
use std::path::PathBuf;

use harness::cluster;
use harness::tree::{Options, Tree};
use serde_json::{Value, json};

#[test]
fn a_cluster_of_a_live_zeek_comes_up_and_answers() {
    let Some(zeek) = env::var_os("ZEEK_BIN").map(PathBuf::from) else {
        println!("skipped: ZEEK_BIN does not name a zeek");
        return;
    };
    // Our node script is to do for every Zeek, also if that brings one along.
    let own: &[&str] = &["--node-script", "own"];
    for flags in [&[], own] {
        let options = Options {
            zeek: Some(zeek.clone()),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Options::default()
        };
        let tree = Tree::start(&options).unwrap();
        let nodes = [
            ("manager", "manager"),
            ("logger-01", "logger"),
            ("worker-01", "worker"),
        ];
        let config = tree.write("cluster.ini", &cluster::ini(&nodes)).unwrap();
        let deployed = tree
            .client(&["deploy-config".as_ref(), config.as_os_str()])
            .unwrap();
        assert_eq!(deployed.code, Some(0), "{deployed:?}");
        let value = tree.client(&["get-id-value", "bits_per_uid"]).unwrap();
        let value: Value = serde_json::from_str(&value.stdout).unwrap();
        let expected = json!({"manager": 96, "logger-01": 96, "worker-01": 96});
        assert_eq!(value["results"], expected);
        tree.stop().unwrap();
    }
}
