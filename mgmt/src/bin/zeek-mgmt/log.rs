//! Where the log goes, and how much of it.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// As RUST_LOG says, such as `debug` or `info,mgmt=trace`.
pub(crate) fn to_stderr() {
    let wanted = std::env::var_os("RUST_LOG").filter(|text| !text.is_empty());
    let wanted = wanted.map(|text| text.to_string_lossy().into_owned());
    let read = wanted.as_deref().map(str::parse::<Targets>).transpose();
    let (filter, problem) = match read {
        Ok(filter) => (filter, None),
        Err(error) => (None, Some(error)),
    };
    let usual = || Targets::new().with_default(LevelFilter::INFO);
    let printer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter.unwrap_or_else(usual))
        .with(printer)
        .init();
    if let Some(error) = problem {
        warn!(%error, "RUST_LOG does not read, so it counts as info");
    }
}
