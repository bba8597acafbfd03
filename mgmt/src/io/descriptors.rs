//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::limits::Limits;

/// Takes as many descriptors as the system gives, and sees to it that links leave enough of them for
/// everything else.
pub(super) fn fit(limits: Limits) -> Limits {
    let descriptors = raise();
    match limits.within(descriptors) {
        Some(fitted) => {
            warn!(
                descriptors,
                links = fitted.links,
                clients = fitted.clients,
                "this process may open too few files for its limits, so they are lower"
            );
            fitted
        }
        None => limits,
    }
}

/// Raises the soft limit to the hard one; returns what holds then.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            debug!(%error, "the number of open files stays as it is");
            current.unwrap_or(u64::MAX)
        }
    }
}
