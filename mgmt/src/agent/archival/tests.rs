use super::*;

const COMMAND: &str = "/opt/zeek/bin/zeek-archiver -1 /opt/zeek/spool/log-queue /opt/zeek/logs";

#[test]
fn runs_once_an_interval_with_the_command_line_of_stock() {
    let (mut archival, t0) = hourly();
    for hour in 1..=3 {
        assert_eq!(archival.poll_timeout(), Some(t0 + secs(hour * 3600)));
        archival.handle_timeout(t0 + secs(hour * 3600 - 1));
        assert_eq!(drain(&mut archival), []);
        archival.handle_timeout(t0 + secs(hour * 3600));
        assert_eq!(drain(&mut archival), [run()]);
        archival.handle(t0 + secs(hour * 3600), Input::Started);
        // API §8.4.
        let told = "triggering log archival via '/opt/zeek/bin/zeek-archiver -1 \
                    /opt/zeek/spool/log-queue /opt/zeek/logs'";
        assert_eq!(drain(&mut archival), [info(told)]);
        archival.handle(t0 + secs(hour * 3600 + 20), ended(0, "moved 3 files\n"));
        assert_eq!(drain(&mut archival), []);
    }
}

#[test]
fn nothing_is_told_while_there_is_no_queue() {
    let (mut archival, t0) = hourly();
    archival.handle_timeout(t0 + secs(3600));
    drain(&mut archival);
    archival.handle(t0 + secs(3600), Input::NoQueue);
    assert_eq!(drain(&mut archival), []);
    assert_eq!(archival.poll_timeout(), Some(t0 + secs(7200)));
}

#[test]
fn a_failed_run_is_told_with_its_last_words_and_repeated_less_and_less_often() {
    let (mut archival, t0) = hourly();
    let mut at = t0 + secs(3600);
    for wait in [60, 120, 240, 480, 960] {
        archival.handle_timeout(at);
        archival.handle(at, Input::Started);
        drain(&mut archival);
        archival.handle(at, ended(3, "reading queue\ndisk full  \n"));
        let told = format!(
            "log archival failed: exit code 3, it said: reading queue | disk full; \
             next attempt in {wait} s"
        );
        assert_eq!(drain(&mut archival), [warning(&told)]);
        at += secs(wait);
        assert_eq!(archival.poll_timeout(), Some(at));
    }
    // The ordinary run is due before the next doubled time has passed.
    archival.handle_timeout(at);
    archival.handle(at, ended(3, ""));
    let told = "log archival failed: exit code 3; next attempt in 1740 s";
    assert_eq!(drain(&mut archival), [run(), warning(told)]);
    assert_eq!(archival.poll_timeout(), Some(t0 + secs(7200)));
}

#[test]
fn the_end_of_failures_is_told_and_the_schedule_is_as_before() {
    let (mut archival, t0) = hourly();
    archival.handle_timeout(t0 + secs(3600));
    let reason = "cannot run /bin/sh".to_owned();
    archival.handle(t0 + secs(3600), Input::NotStarted { reason });
    let told = "log archival failed: cannot run /bin/sh; next attempt in 60 s";
    assert_eq!(drain(&mut archival), [run(), warning(told)]);
    archival.handle_timeout(t0 + secs(3660));
    archival.handle(t0 + secs(3660), Input::Started);
    archival.handle(t0 + secs(3661), ended(0, ""));
    let last = drain(&mut archival).pop().unwrap();
    assert_eq!(
        last,
        info("log archival works again, failed runs before: 1")
    );
    assert_eq!(archival.poll_timeout(), Some(t0 + secs(7200)));
}

#[test]
fn a_run_that_does_not_end_is_told_of_and_never_joined_by_another() {
    let (mut archival, t0) = hourly();
    archival.handle_timeout(t0 + secs(3600));
    archival.handle(t0 + secs(3600), Input::Started);
    drain(&mut archival);
    archival.handle_timeout(t0 + secs(7200));
    let told = "log archival still runs after 3600 s";
    assert_eq!(drain(&mut archival), [warning(told)]);
    let ending = Ending::Signal(15);
    let output = String::new();
    archival.handle(t0 + secs(9000), Input::Ended { ending, output });
    let told = "log archival failed: signal 15; next attempt in 60 s";
    assert_eq!(drain(&mut archival), [warning(told)]);
}

#[test]
fn the_agent_ends_with_one_more_run() {
    let (mut archival, t0) = hourly();
    archival.handle(t0 + secs(5), Input::Shutdown);
    assert_eq!(drain(&mut archival), [run()]);
    archival.handle(t0 + secs(5), Input::Started);
    drain(&mut archival);
    archival.handle(t0 + secs(6), ended(0, ""));
    assert_eq!(drain(&mut archival), [Output::Finished]);
    assert_eq!(archival.poll_timeout(), None);
}

#[test]
fn the_last_run_is_neither_repeated_nor_waited_for_without_end() {
    let (mut archival, t0) = hourly();
    archival.handle(t0, Input::Shutdown);
    drain(&mut archival);
    archival.handle(t0, ended(127, "not found"));
    let told = "log archival failed: exit code 127, it said: not found";
    let outputs = drain(&mut archival);
    assert_eq!(outputs, [warning(told), Output::Finished]);

    let (mut archival, t0) = hourly();
    archival.handle(t0, Input::Shutdown);
    archival.handle(t0, Input::Started);
    drain(&mut archival);
    assert_eq!(archival.poll_timeout(), Some(t0 + secs(10)));
    archival.handle_timeout(t0 + secs(10));
    let told = "log archival did not end within 10 s, killed";
    let outputs = drain(&mut archival);
    assert_eq!(outputs, [warning(told), Output::Kill, Output::Finished]);
}

#[test]
fn the_end_waits_for_the_run_that_goes_on() {
    let (mut archival, t0) = hourly();
    archival.handle_timeout(t0 + secs(3600));
    archival.handle(t0 + secs(3600), Input::Started);
    drain(&mut archival);
    archival.handle(t0 + secs(3601), Input::Shutdown);
    assert_eq!(drain(&mut archival), []);
    archival.handle(t0 + secs(3602), ended(0, ""));
    assert_eq!(drain(&mut archival), [Output::Finished]);
}

#[test]
fn directories_stay_one_word_for_the_shell() {
    let mut settings = settings();
    settings.to = "/srv/old logs/bob's".into();
    settings.from = "/srv/$(reboot)".into();
    settings.command = "nice zeek-archiver".to_owned();
    let expected = r"nice zeek-archiver -1 '/srv/$(reboot)' '/srv/old logs/bob'\''s'";
    assert_eq!(command_line(&settings), expected);
    settings.to = "".into();
    assert!(command_line(&settings).ends_with(" ''"));
}

#[test]
fn nothing_happens_before_its_time() {
    let (mut archival, t0) = hourly();
    archival.handle_timeout(t0 + secs(3600));
    archival.handle(t0 + secs(3600), Input::Started);
    drain(&mut archival);
    archival.handle_timeout(t0 + secs(7199));
    assert_eq!(drain(&mut archival), []);
    archival.handle(t0 + secs(7199), Input::Shutdown);
    drain(&mut archival);
    let deadline = archival.poll_timeout().unwrap();
    archival.handle_timeout(deadline - secs(1));
    assert_eq!(drain(&mut archival), []);
    assert_eq!(archival.poll_timeout(), Some(deadline));
    archival.handle_timeout(deadline);
    let outputs = drain(&mut archival);
    assert!(outputs.contains(&Output::Kill), "{outputs:?}");
}

fn settings() -> ArchiveSettings {
    ArchiveSettings {
        interval: secs(3600),
        command: "/opt/zeek/bin/zeek-archiver".to_owned(),
        from: "/opt/zeek/spool/log-queue".into(),
        to: "/opt/zeek/logs".into(),
    }
}

fn hourly() -> (Archival, Instant) {
    let t0 = start();
    (Archival::new(&settings(), t0), t0)
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn drain(archival: &mut Archival) -> Vec<Output> {
    std::iter::from_fn(|| archival.poll_output()).collect()
}

fn run() -> Output {
    Output::Run {
        command: COMMAND.to_owned(),
        queue: "/opt/zeek/spool/log-queue".into(),
    }
}

fn ended(code: i32, output: &str) -> Input {
    Input::Ended {
        ending: Ending::Code(code),
        output: output.to_owned(),
    }
}

fn info(text: &str) -> Output {
    Output::Log {
        record: Record::info(text),
    }
}

fn warning(text: &str) -> Output {
    Output::Log {
        record: Record::warning(text),
    }
}
