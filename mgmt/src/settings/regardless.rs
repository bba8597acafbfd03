//! Settings of somebody who has made mistakes.

use super::{Given, Settings};

impl Settings {
    /// What can be told of settings some of which are wrong: those have their defaults. Nothing
    /// should be run with it.
    #[must_use]
    pub fn regardless(given: &Given) -> Option<Self> {
        let mut given = given.clone();
        given.errors.clear();
        Self::resolve(&given).ok()
    }
}
