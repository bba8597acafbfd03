//! The table of transitions, row by row where it matters.

use super::*;

const PACE: Pace = Pace {
    stop: Duration::from_secs(30),
    settle: Duration::from_secs(1),
};

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn step(state: State, now: Instant, event: Event) -> (State, Vec<Action>) {
    let mut todo = Vec::new();
    let mut step = Step {
        now,
        pace: PACE,
        backoff: &mut Backoff::new(),
        todo: &mut todo,
    };
    let state = state.step(event, &mut step);
    (state, todo)
}

fn stop(next: Next) -> Event {
    Event::Stop { next }
}

#[test]
fn a_stop_before_the_process_id_is_known_waits_for_it() {
    let t0 = start();
    let (state, todo) = step(State::Starting, t0, stop(Next::Nothing));
    assert_eq!((state.deadline(), todo), (None, vec![]));
    let (state, todo) = step(state, t0, Event::Spawned { pid: 7 });
    assert_eq!(todo, [Action::Terminate { pid: 7 }]);
    assert_eq!(state.deadline(), Some(t0 + secs(30)));
    let (state, todo) = step(state, t0, exit(Group::Empty));
    assert_eq!((state, todo), (State::Gone, vec![]));
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_once() {
    let t0 = start();
    let (state, _) = step(State::Running { pid: 7 }, t0, stop(Next::Nothing));
    let (state, todo) = step(state, t0 + secs(30), Event::Due);
    assert_eq!(todo, [Action::KillGroup { pid: 7 }]);
    assert_eq!(state.deadline(), None);
    let (state, _) = step(state, t0 + secs(31), exit(Group::Empty));
    assert_eq!(state, State::Gone);
}

#[test]
fn a_stop_for_good_overrides_a_restart_but_not_the_other_way_round() {
    let t0 = start();
    let (state, _) = step(State::Running { pid: 7 }, t0, stop(Next::Start));
    let (state, _) = step(state, t0, stop(Next::Nothing));
    let (state, _) = step(state, t0, stop(Next::Start));
    let (state, _) = step(state, t0, exit(Group::Empty));
    assert_eq!(state, State::Gone);
}

#[test]
fn what_died_by_itself_leaves_time_for_its_orphans_even_on_restart() {
    let t0 = start();
    let (state, todo) = step(State::Running { pid: 7 }, t0, exit(Group::Alive));
    assert_eq!(todo, [Action::KillGroup { pid: 7 }]);
    let (state, todo) = step(state, t0, stop(Next::Start));
    assert_eq!(todo, []);
    assert_eq!(state.deadline(), Some(t0 + secs(1)));
    let (state, todo) = step(state, t0 + secs(1), Event::Due);
    assert_eq!((state, todo), (State::Starting, vec![Action::Launch]));
}

#[test]
fn a_unit_without_process_is_gone_at_once() {
    let t0 = start();
    let (backoff, _) = step(State::Starting, t0, Event::Failed(Verdict::Again));
    for state in [State::Waiting, backoff] {
        assert_eq!(step(state, t0, stop(Next::Nothing)), (State::Gone, vec![]));
    }
}

fn exit(group: Group) -> Event {
    let verdict = Verdict::Again;
    Event::Exited { group, verdict }
}

#[test]
fn what_a_stopped_process_leaves_gets_a_second_before_it_is_killed() {
    let t0 = start();
    let (state, _) = step(State::Running { pid: 7 }, t0, stop(Next::Start));
    let (state, todo) = step(state, t0, exit(Group::Alive));
    assert_eq!(todo, [Action::Sweep { pid: 7 }]);
    assert_eq!(state.deadline(), Some(t0 + secs(1)));
    let (next, todo) = step(state, t0 + secs(1), Event::Due);
    assert_eq!(next, State::Starting);
    assert_eq!(todo, [Action::KillGroup { pid: 7 }, Action::Launch]);
    let (state, _) = step(state, t0, stop(Next::Nothing));
    let (state, todo) = step(state, t0 + secs(1), Event::Due);
    assert_eq!(
        (state, todo),
        (State::Gone, vec![Action::KillGroup { pid: 7 }])
    );
}

#[test]
fn who_has_failed_starts_only_when_asked() {
    let t0 = start();
    let (group, verdict) = (Group::Empty, Verdict::TooOften);
    let died = Event::Exited { group, verdict };
    let (state, todo) = step(State::Running { pid: 7 }, t0, died);
    assert_eq!((state, todo), (State::Failed, vec![]));
    assert_eq!(state.deadline(), None);
    let (again, todo) = step(state, t0, stop(Next::Start));
    assert_eq!((again, todo), (State::Starting, vec![Action::Launch]));
    assert_eq!(step(state, t0, stop(Next::Nothing)).0, State::Gone);
}

#[test]
fn a_stop_for_a_back_off_starts_at_its_time_unless_somebody_wants_more() {
    let t0 = start();
    let later = t0 + secs(60);
    let (stopping, _) = step(State::Running { pid: 7 }, t0, stop(Next::Later(later)));
    let (state, _) = step(stopping, t0, exit(Group::Empty));
    assert_eq!(state.deadline(), Some(later));
    let (state, _) = step(stopping, t0, stop(Next::Start));
    let (state, todo) = step(state, t0, exit(Group::Empty));
    assert_eq!((state, todo), (State::Starting, vec![Action::Launch]));
}
