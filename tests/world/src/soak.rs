//! Steady life: nothing goes wrong, and nothing may grow.

use std::time::Duration;

use mgmt::api::controller::ControllerRequest;

use crate::record::Telling;
use crate::scenario::Scenario;
use crate::script::{Chances, Header, Maker, SensorPlan};
use crate::world::{Size, World};

/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_secs(600);

/// Looks between two deployments.
const LOOKS: u32 = 18;

/// What came of it.
#[derive(Debug)]
pub struct Soak {
    /// How much there was of everything at the end of each hour.
    pub sizes: Vec<Size>,
    /// Requests that were answered.
    pub answered: usize,
    /// What was wrong first.
    pub violation: Option<String>,
}

/// Lets so many agents live for so many hours: their nodes are listed every ten minutes, asked for a
/// value now and then, and deployed anew every three hours.
pub fn soak(agents: usize, hours: u32) -> Soak {
    let sensors = (0..agents).map(|n| SensorPlan {
        dials: n % 2 == 0,
        remembers: n % 4 == 0,
        is_stock: false,
        supervisor: Maker::Ours,
    });
    let header = Header {
        sensors: sensors.collect(),
        chances: Chances::default(),
        seed: 1,
        controller: Maker::Ours,
    };
    let mut scenario = Scenario::new(World::new(header, Telling::Off));
    let mut soak = Soak {
        sizes: Vec::new(),
        answered: 0,
        violation: None,
    };
    scenario.deploy_one_each();
    for look in 0..hours * 6 {
        let hour = look / 6;
        let reqid = String::new();
        let id = "bits_per_uid".to_owned();
        let nodes = ["node-1".to_owned()].into();
        match look % 6 {
            0 if look > 0 && look % LOOKS == 0 => scenario.deploy_one_each(),
            0 => scenario.ask_first(ControllerRequest::GetInstances { reqid }),
            3 => scenario.ask_first(ControllerRequest::GetIdValue { reqid, id, nodes }),
            _ => scenario.ask_first(ControllerRequest::GetNodes { reqid }),
        }
        scenario.world.pass(LOOK);
        scenario.check_idle();
        soak.answered += scenario.world.clients.answers.len();
        scenario.world.forget_answers();
        scenario.world.record.forget();
        if look % 6 == 5 && usize::try_from(hour) == Ok(soak.sizes.len()) {
            soak.sizes.push(scenario.world.size());
        }
    }
    scenario.check_running();
    soak.violation = scenario.world.record.violation;
    soak
}
