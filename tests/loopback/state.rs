//! What a controller keeps, when it is killed and when it may not write (API §4.9).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use broker_proto::IdGen;
use harness::lone::{Lone, STATE_FILE, State};
use harness::wait_until;
use harness::websocket::WebSocket;
use mgmt::api::ApiResult;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::Configuration;

/// How often the controller is killed; `ZEEK_MGMT_KILLS` in the environment says otherwise.
const KILLS: usize = 40;

const SEED: u64 = 0x5eed;

#[test]
fn nothing_answered_with_success_is_lost_when_the_controller_is_killed() {
    let kills = std::env::var("ZEEK_MGMT_KILLS").ok();
    let kills = kills.map_or(KILLS, |text| text.parse().unwrap());
    let state = State::empty().unwrap();
    let mut ids = IdGen::new(SEED);
    let mut model = Model::default();
    let mut round = Duration::from_millis(10);
    for _ in 0..kills {
        let lone = Lone::start(&state).unwrap();
        let mut socket = WebSocket::subscribed(lone.websocket).unwrap();
        model.check(&mut socket);
        // A machine under load takes longer for everything, so a round is the measure of time.
        for _ in 0..ids.next_u64() % 3 {
            let start = Instant::now();
            model.round(&mut socket, ids.next_u64()).unwrap();
            round = start.elapsed();
        }
        let life = round.mul_f64(f64::from(u8::try_from(ids.next_u64() >> 56).unwrap()) / 128.0);
        thread::scope(|scope| {
            scope.spawn(move || {
                let end = Instant::now() + life;
                while Instant::now() < end {
                    thread::yield_now();
                }
                lone.kill().unwrap();
            });
            while model.round(&mut socket, ids.next_u64()).is_some() {}
        });
    }
    let names = fs::read_dir(state.controller()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let aside = names.iter().filter(|name| {
        let name = name.to_string_lossy();
        name.contains("damaged") || name.contains("foreign")
    });
    assert_eq!(aside.count(), 0, "{names:?}");
    // Otherwise nothing was shown.
    assert!(model.rounds >= kills / 2, "{} rounds", model.rounds);
}

#[test]
fn the_state_file_is_whole_between_changes_and_alone_at_the_end() {
    let state = State::empty().unwrap();
    let lone = Lone::start(&state).unwrap();
    let mut socket = WebSocket::subscribed(lone.websocket).unwrap();
    assert!(stage(&mut socket, "new").unwrap().success);
    let path = state.file().display().to_string();
    let [log, index, journal] = ["-wal", "-shm", "-journal"].map(|end| format!("{path}{end}"));
    let size = || fs::metadata(&log).unwrap().len();
    let whole = wait_until(Duration::from_secs(60), || (size() == 0).then_some(()));
    whole.expect("the log is empty soon");
    let copy = State::with(&fs::read(state.file()).unwrap()).unwrap();
    let other = Lone::start(&copy).unwrap();
    let mut there = WebSocket::subscribed(other.websocket).unwrap();
    assert_eq!(get(&mut there, false).unwrap().id, "new");
    // In the middle of a change, as far as the file goes.
    assert!(stage(&mut socket, "newer").unwrap().success);
    lone.stop().unwrap();
    for companion in [log, index, journal] {
        assert!(!Path::new(&companion).exists(), "{companion}");
    }
    // SQLite's mark of a file with a rollback journal.
    assert_eq!(fs::read(state.file()).unwrap()[18..20], [1, 1]);
    let again = Lone::start(&state).unwrap();
    let mut socket = WebSocket::subscribed(again.websocket).unwrap();
    assert_eq!(get(&mut socket, false).unwrap().id, "newer");
}

#[test]
fn a_disk_that_takes_nothing_fails_the_request_and_nothing_else() {
    let state = State::empty().unwrap();
    let lone = Lone::start(&state).unwrap();
    let mut socket = WebSocket::subscribed(lone.websocket).unwrap();
    for id in ["old", "middle"] {
        assert!(stage(&mut socket, id).unwrap().success);
        if id == "old" {
            assert!(deploy(&mut socket).unwrap().success);
        }
    }
    let ids =
        |socket: &mut WebSocket| [false, true].map(|deployed| get(socket, deployed).unwrap().id);
    lone.limit_files(Some(0)).unwrap();
    let failures = [stage(&mut socket, "new"), deploy(&mut socket)];
    for (result, kind) in failures.into_iter().zip(["staged", "deployed"]) {
        let error = result.unwrap().error.unwrap();
        let start = format!("cannot store the {kind} configuration: cannot write ");
        assert!(
            error.starts_with(&start) && error.contains(STATE_FILE),
            "{error}"
        );
    }
    assert_eq!(ids(&mut socket), ["middle", "old"]);
    lone.limit_files(None).unwrap();
    assert!(stage(&mut socket, "new").unwrap().success);
    lone.kill().unwrap();
    let again = Lone::start(&state).unwrap();
    let mut socket = WebSocket::subscribed(again.websocket).unwrap();
    assert_eq!(ids(&mut socket), ["new", "old"]);
}

#[test]
fn a_file_in_the_place_of_the_directory_fails_requests_until_it_is_gone() {
    let state = State::empty().unwrap();
    let nodes = state.path().join("nodes");
    fs::write(&nodes, b"").unwrap();
    let lone = Lone::start(&state).unwrap();
    let warned = ["WARN", "no configuration can be kept"];
    assert!(
        lone.log()
            .wait_for(Duration::from_secs(60), &warned)
            .is_some()
    );
    let mut socket = WebSocket::subscribed(lone.websocket).unwrap();
    let error = stage(&mut socket, "new").unwrap().error.unwrap();
    assert!(error.contains("cannot use the directory"), "{error}");
    assert_eq!(get(&mut socket, false), None);
    fs::remove_file(&nodes).unwrap();
    assert!(stage(&mut socket, "new").unwrap().success);
    assert!(state.file().is_file());
}

#[test]
fn a_damaged_file_is_set_aside_with_an_error_and_the_controller_runs() {
    let state = State::with(b"this is no database").unwrap();
    let lone = Lone::start(&state).unwrap();
    let aside = format!("{STATE_FILE}.damaged-1");
    let parts = ["ERROR", &aside, "file is not a database"];
    assert!(
        lone.log()
            .wait_for(Duration::from_secs(60), &parts)
            .is_some()
    );
    let kept = fs::read(state.controller().join(aside)).unwrap();
    assert_eq!(kept, b"this is no database");
    let mut socket = WebSocket::subscribed(lone.websocket).unwrap();
    assert_eq!(get(&mut socket, false), None);
    assert!(stage(&mut socket, "new").unwrap().success);
}

#[test]
fn a_second_controller_on_the_same_state_says_why_it_ends() {
    let state = State::empty().unwrap();
    let _first = Lone::start(&state).unwrap();
    let second = Lone::fails(&state).unwrap();
    assert_eq!(second.code, Some(1));
    let reason = "is in use by another controller";
    assert!(second.stderr.contains(reason), "{}", second.stderr);
}

#[test]
fn a_state_file_that_is_no_file_keeps_the_controller_from_starting() {
    let state = State::empty().unwrap();
    fs::create_dir_all(state.file()).unwrap();
    let done = Lone::fails(&state).unwrap();
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("is not a regular file"),
        "{}",
        done.stderr
    );
}

/// What a controller must know, by what it answered.
#[derive(Debug, Default)]
struct Model {
    staged: Option<String>,
    deployed: Option<String>,
    /// The last of each that was asked for and not answered.
    unsure: [Option<String>; 2],
    /// How many of either were answered.
    rounds: usize,
}

impl Model {
    /// A controller that has just started knows all that was answered, or the next thing.
    fn check(&mut self, socket: &mut WebSocket) {
        let known = [&mut self.staged, &mut self.deployed];
        for ((known, unsure), deployed) in
            known.into_iter().zip(&mut self.unsure).zip([false, true])
        {
            let found = get(socket, deployed).map(|config| config.id);
            let unsure = unsure.take();
            let is_right = found == *known || (unsure.is_some() && found == unsure);
            let short = |id: &Option<String>| {
                id.as_ref()
                    .map(|id| id.split('-').next().map(str::to_owned))
            };
            let [found_id, known_id, unsure_id] = [&found, &*known, &unsure].map(short);
            assert!(is_right, "{found_id:?}, not {known_id:?} or {unsure_id:?}");
            *known = found;
        }
    }

    /// Stages and deploys another configuration; `None` if the controller went.
    fn round(&mut self, socket: &mut WebSocket, random: u64) -> Option<()> {
        // From one page to many.
        let padding = usize::try_from(random % 3).unwrap() * 9000;
        let id = format!("{random:016x}{}", "-".repeat(padding));
        self.unsure[0] = Some(id.clone());
        assert!(stage(socket, &id)?.success);
        self.staged = self.unsure[0].take();
        self.unsure[1] = Some(id);
        assert!(deploy(socket)?.success);
        self.deployed = self.unsure[1].take();
        self.rounds += 1;
        Some(())
    }
}

/// Stages a configuration of nothing; `None` if the controller went.
fn stage(socket: &mut WebSocket, id: &str) -> Option<ApiResult> {
    let config = Configuration {
        id: id.to_owned(),
        instances: BTreeSet::new(),
        nodes: BTreeSet::new(),
    };
    let reqid = "s".to_owned();
    match socket.answer(&ControllerRequest::StageConfiguration { reqid, config }) {
        Ok(ControllerResponse::StageConfiguration { results, .. }) => results.last().cloned(),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

/// Deploys what is staged; `None` if the controller went.
fn deploy(socket: &mut WebSocket) -> Option<ApiResult> {
    let reqid = "d".to_owned();
    match socket.answer(&ControllerRequest::Deploy { reqid }) {
        Ok(ControllerResponse::Deploy { results, .. }) => results.last().cloned(),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

fn get(socket: &mut WebSocket, deployed: bool) -> Option<Configuration> {
    let reqid = "g".to_owned();
    let request = ControllerRequest::GetConfiguration { reqid, deployed };
    let ControllerResponse::GetConfiguration { result, .. } = socket.answer(&request).unwrap()
    else {
        panic!("the answer is of another kind");
    };
    Some(result.data?.read().unwrap())
}
