//! SIGKILL to nodes, stems and the supervisor, at random.

use std::fs;

use harness::wait_until;
use rustix::process::Signal;

use crate::agent::{Agent, kill};
use crate::{PATIENCE, asked};

const NODES: [&str; 3] = ["a", "b", "c"];

#[tokio::test]
async fn whatever_is_killed_nothing_is_left_behind_or_lost() {
    at_random(Agent::start(&[]).await, 20).await;
}

pub(crate) async fn at_random(mut agent: Agent, ordinary: usize) {
    let rounds = asked("SUPERVISED_ROUNDS", ordinary);
    create_all(&mut agent).await;
    await_all(&mut agent).await;
    let descriptors = descriptors(agent.supervisor_pid());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut killed = [0; 3];
    for round in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let node = NODES[usize::try_from(random % 3).unwrap()];
        let what = usize::try_from((random >> 20) % 3).unwrap();
        killed[what] += 1;
        agent.forget_news();
        match what {
            0 => {
                let pid = agent.status().await.nodes[node].pid.unwrap();
                kill(i32::try_from(pid).unwrap(), Signal::KILL);
                agent.hellos(&[node.to_owned()]).await;
            }
            1 => {
                let pid = agent.status().await.nodes[node].pid.unwrap();
                kill(parent(pid).unwrap(), Signal::KILL);
                agent.hellos(&[node.to_owned()]).await;
            }
            _ => {
                kill(agent.supervisor_pid(), Signal::KILL);
                agent.supervisor.wait().unwrap();
                agent.await_processes(0).await;
                agent.start_again().await;
                create_all(&mut agent).await;
            }
        }
        look_around(&mut agent, descriptors, round).await;
    }
    println!("{rounds} rounds: {killed:?} kills of nodes, stems, supervisors");
    agent.stop().await;
}

async fn create_all(agent: &mut Agent) {
    for node in NODES {
        assert_eq!(agent.create(node, &[]).await, "");
    }
    agent.hellos(&NODES.map(String::from)).await;
}

/// Every name is there with a process of its own, and there is nothing else.
async fn look_around(agent: &mut Agent, descriptors: usize, round: usize) {
    agent.await_processes(1 + 2 * NODES.len()).await;
    await_all(agent).await;
    let supervisor = agent.supervisor_pid();
    let settled = wait_until(PATIENCE, || {
        let is_clean = zombies(supervisor) == 0;
        (is_clean && self::descriptors(supervisor) <= descriptors).then_some(())
    });
    let open = self::descriptors(supervisor);
    let zombies = zombies(supervisor);
    assert!(
        settled.is_some(),
        "round {round}: {open} descriptors, not {descriptors}; {zombies} zombies"
    );
}

/// Waits until the supervisor knows that all nodes run, and has their files open: a hello may
/// overtake the news of the start.
async fn await_all(agent: &mut Agent) {
    crate::patiently(async { while !all_run(agent).await {} }).await;
}

async fn all_run(agent: &mut Agent) -> bool {
    let status = agent.status().await;
    let names: Vec<&str> = status.nodes.keys().map(String::as_str).collect();
    assert_eq!(names, NODES);
    let alive: Vec<i32> = agent.processes().iter().map(|p| p.pid).collect();
    let is_alive = |pid: Option<i64>| alive.iter().any(|other| Some(i64::from(*other)) == pid);
    alive.len() == 1 + 2 * NODES.len() && status.nodes.values().all(|node| is_alive(node.pid))
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn parent(pid: i64) -> Option<i32> {
    stat(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// Dead children of a process that it has not waited for.
fn zombies(parent: i32) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let wanted = format!("Z {parent} ");
    let stats = pids.filter_map(stat);
    stats.filter(|stat| stat.starts_with(&wanted)).count()
}

/// State, parent and so on.
fn stat(pid: i64) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.to_owned())
}
