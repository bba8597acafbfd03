//! The same on a real Zeek, if `ZEEK_BIN` names one: what needs no misbehaving node. Without it the
//! tests say that they did not run.

use harness::binaries::live_zeek;

use crate::agent::Agent;
use crate::{bad_input, deaths, kills, many, order};

#[tokio::test]
async fn whatever_is_killed_of_a_live_zeek_nothing_is_left_behind_or_lost() {
    if let Some(agent) = agent().await {
        kills::at_random(agent, 10).await;
    }
}

#[tokio::test]
async fn a_live_zeek_that_is_killed_is_told_with_its_signal_even_after_a_restart() {
    if let Some(agent) = agent().await {
        deaths::killed(agent).await;
    }
}

#[tokio::test]
async fn many_live_zeeks_stop_and_start_at_the_same_time() {
    if let Some(agent) = agent().await {
        many::stop_and_start(agent, 4, many::Nodes::Talkative).await;
    }
}

#[tokio::test]
async fn live_zeeks_end_role_by_role() {
    if let Some(agent) = agent().await {
        order::role_by_role(agent).await;
    }
}

#[tokio::test]
async fn what_a_live_zeek_cannot_read_is_told_in_its_words() {
    if let Some(agent) = agent().await {
        bad_input::unreadable(agent).await;
    }
}

#[tokio::test]
async fn refused_nodes_leave_a_live_zeek_alone() {
    if let Some(agent) = agent().await {
        bad_input::refused(agent).await;
    }
}

async fn agent() -> Option<Agent> {
    Some(Agent::start_on(live_zeek()?, &[]).await)
}
