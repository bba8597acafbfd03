//! Asks a controller what a plan needs, with requests that change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_proto::io::entropy;
use broker_proto::zeek::{ConvertError, Event, FromData};
use broker_proto::{Data, IdGen};
use zeek_client_compat::io::client::{Client, ClientError};

use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::api::{ApiResult, CONTROLLER_TOPIC};
use crate::plan::Observed;
use crate::plan::target::Target;

/// As zeek-client's `client.request_timeout_secs`: longer than a controller waits for agents.
const LIMIT: Duration = Duration::from_secs(20);

/// What stock says if nothing is deployed.
const NOTHING_DEPLOYED: &str = "no deployed configuration available";

/// Why the state of the cluster is not known.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The controller cannot be talked to.
    #[error("cannot ask the controller")]
    Session(#[from] ClientError),
    /// The controller did not do what it was asked.
    #[error("the controller did not answer {request}: {problem}")]
    Failed {
        /// What it was asked.
        request: &'static str,
        /// What it said.
        problem: String,
    },
    /// The controller's answer is not what it should be.
    #[error("the controller's answer to {request} cannot be read")]
    Answer {
        /// What it was asked.
        request: &'static str,
        /// What is wrong.
        #[source]
        source: ConvertError,
    },
}

/// What the controller there says about its cluster.
///
/// # Errors
/// If it cannot be asked, or does not answer.
pub fn observe(controller: &Target) -> Result<Observed, ObserveError> {
    let mut asker = Asker {
        client: Client::connect(
            &controller.addr,
            controller.protection.as_ref(),
            &CONTROLLER_TOPIC,
            LIMIT,
        )?,
        ids: IdGen::new(entropy::seed()),
    };
    let deployed = asker.ask(|reqid| ControllerRequest::GetConfiguration {
        reqid,
        deployed: true,
    })?;
    let request = "get_configuration_request";
    let deployed = match deployed.first().and_then(|result| result.error.as_deref()) {
        Some(NOTHING_DEPLOYED) => None,
        Some(_) | None => Some(data(&deployed, request)?),
    };
    let agents = asker.ask(|reqid| ControllerRequest::GetInstances { reqid })?;
    let agents: Vec<_> = data(&agents, "get_instances_request")?;
    let mut running = BTreeMap::new();
    if !agents.is_empty() {
        let request = "get_nodes_request";
        for result in asker.ask(|reqid| ControllerRequest::GetNodes { reqid })? {
            let Some(instance) = result.instance.clone() else {
                continue;
            };
            let nodes = match result.success {
                true => Ok(data(&[result], request)?),
                false => Err(result.error.unwrap_or_default()),
            };
            running.insert(instance, nodes);
        }
    }
    Ok(Observed {
        deployed,
        agents,
        running,
    })
}

struct Asker {
    client: Client,
    ids: IdGen,
}

impl Asker {
    fn ask(
        &mut self,
        request: impl FnOnce(String) -> ControllerRequest,
    ) -> Result<Vec<ApiResult>, ObserveError> {
        let id = self.ids.unique_id();
        let request = request(id.clone());
        let wanted = request.event_name().replace("_request", "_response");
        self.client
            .publish(&CONTROLLER_TOPIC, Event::from(request))?;
        let results = self.client.await_event(LIMIT, |event| {
            if event.name != wanted {
                return Ok(None);
            }
            let (reqid, results) = parts(ControllerResponse::try_from(event)?);
            Ok(Some(results).filter(|_| reqid == id))
        })?;
        Ok(results)
    }
}

fn parts(response: ControllerResponse) -> (String, Vec<ApiResult>) {
    match response {
        ControllerResponse::GetInstances { reqid, result }
        | ControllerResponse::GetConfiguration { reqid, result }
        | ControllerResponse::TestTimeout { reqid, result } => (reqid, vec![result]),
        ControllerResponse::StageConfiguration { reqid, results }
        | ControllerResponse::Deploy { reqid, results }
        | ControllerResponse::GetNodes { reqid, results }
        | ControllerResponse::GetIdValue { reqid, results }
        | ControllerResponse::Restart { reqid, results } => (reqid, results),
    }
}

fn data<T: FromData>(results: &[ApiResult], request: &'static str) -> Result<T, ObserveError> {
    let result = results.first();
    let Some(result) = result.filter(|result| result.success) else {
        let problem = result.and_then(|result| result.error.clone());
        let problem = problem.unwrap_or_else(|| "no reason given".to_owned());
        return Err(ObserveError::Failed { request, problem });
    };
    let data = result.data.clone().unwrap_or_else(|| Data::None.into());
    data.read()
        .map_err(|source| ObserveError::Answer { request, source })
}
