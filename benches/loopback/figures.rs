//! How the benchmarks of the running programs say what they found.

use std::time::Duration;

/// Half of them are not longer than this, and 99 of a hundred not than that.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| {
        let last = times.len().saturating_sub(1);
        times.get(last * percent / 100).copied().unwrap_or_default()
    };
    format!("p50 {:.3} ms, p99 {:.3} ms", millis(at(50)), millis(at(99)))
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn megabytes(kib: Option<u64>) -> String {
    kib.map_or_else(
        || "unknown".to_owned(),
        |kib| format!("{:.1} MB", kib as f64 * 1.024e-3),
    )
}
