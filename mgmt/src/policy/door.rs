//! The policy at a supervisor's port.

use std::sync::Arc;

use broker_proto::peering::PeerNetwork;
use supervisor::process::Door;

use super::gate::origin;
use super::{Policy, Role};

/// Lets in whom the rules make an agent or a controller: at a supervisor these may ask for
/// everything, and nobody else for anything.
#[derive(Debug)]
struct SupervisorDoor(Policy);

impl Door for SupervisorDoor {
    fn admits(&self, network: &PeerNetwork) -> Result<(), String> {
        let grant = self.0.who(&origin(network));
        let may = [Role::Agent, Role::Controller]
            .iter()
            .any(|role| grant.roles.contains(role));
        if may {
            return Ok(());
        }
        Err(format!(
            "the policy gives it {grant}, not agent or controller"
        ))
    }
}

impl Policy {
    /// What a supervisor asks about those who connect.
    #[must_use]
    pub fn door(self) -> Arc<dyn Door> {
        Arc::new(SupervisorDoor(self))
    }
}
