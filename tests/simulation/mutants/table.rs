//! The bugs that are planted, and who notices them.

/// A bug.
pub(super) struct Mutant {
    /// Of what it does.
    pub(super) name: &'static str,
    /// The model's rule that it breaks.
    pub(super) rule: &'static str,
    /// A seed that shows it.
    pub(super) seed: u64,
    pub(super) edits: &'static [Edit],
}

/// A change of a file's text.
pub(super) struct Edit {
    pub(super) file: &'static str,
    /// Must be there once.
    pub(super) old: &'static str,
    /// What takes its place; `MUTATED` is true for this bug.
    pub(super) new: &'static str,
}

/// Every one is there in all runs, and does something in its own.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a query does not time out",
        rule: "Unanswered",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller.rs",
            old: "            self.fanouts.next_deadline(),\n",
            new: "            if MUTATED { None } else { self.fanouts.next_deadline() },\n",
        }],
    },
    Mutant {
        name: "a deployment is answered twice",
        rule: "AnsweredTwice",
        seed: 2,
        edits: &[Edit {
            file: "mgmt/src/controller.rs",
            old: "        self.outputs.push_back(Output::Respond { response });",
            new: "if MUTATED && matches!(response, ControllerResponse::Deploy { .. }) {\n\
                  let response = response.clone();\n\
                  self.outputs.push_back(Output::Respond { response });\n\
                  }\n\
                  self.outputs.push_back(Output::Respond { response });",
        }],
    },
    Mutant {
        name: "what the last agent answers is lost",
        rule: "OtherResults",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/fanout.rs",
            old: "            Ok(results) => fanout.take(asked, results),",
            new: "Ok(_) if MUTATED && fanout.missing == 0 => {}\n\
                  Ok(results) => fanout.take(asked, results),",
        }],
    },
    Mutant {
        name: "success is told before it is saved",
        rule: "NotStored",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/configs.rs",
            old: "                self.outputs.push_back(Output::Save { state });\n                return;",
            new: "self.outputs.push_back(Output::Save { state });\n\
                  if MUTATED && let Some(change) = self.configs.changes.pop_front() {\n\
                  self.conclude(change, Ok(()));\n\
                  }\n\
                  return;",
        }],
    },
    Mutant {
        name: "a restarted controller has forgotten",
        rule: "NotAskedFor",
        seed: 12,
        edits: &[Edit {
            file: "mgmt/src/controller.rs",
            old: "            configs: Configs::new(saved),",
            new: "configs: Configs::new(if MUTATED { Saved::default() } else { saved }),",
        }],
    },
    Mutant {
        name: "a returning agent is not sent what is deployed",
        rule: "NotSettled",
        seed: 3,
        edits: &[Edit {
            file: "mgmt/src/controller/rollout.rs",
            old: "*stage = Stage::Due { force };\n            self.repeats.remove(name);",
            new: "if !MUTATED { *stage = Stage::Due { force }; }\n            self.repeats.remove(name);",
        }],
    },
    Mutant {
        name: "what a stock agent has overheard is forgotten",
        rule: "NotSettled",
        seed: 354,
        edits: &[Edit {
            file: "mgmt/src/controller/rollout.rs",
            old: "shorter.filter(|name| stages.contains_key(*name));",
            new: "shorter.filter(|name| !MUTATED && stages.contains_key(*name));",
        }],
    },
    Mutant {
        name: "a second deployment takes the first one's place",
        rule: "Unanswered",
        seed: 2,
        edits: &[Edit {
            file: "mgmt/src/controller/deploy.rs",
            old: "        if let Some(earlier) = &self.deployment {",
            new: "if let Some(earlier) = self.deployment.as_ref().filter(|_| !MUTATED) {",
        }],
    },
    Mutant {
        name: "time behind a save does not count",
        rule: "Unanswered",
        seed: 2,
        edits: &[Edit {
            file: "mgmt/src/controller/configs.rs",
            old: "            self.on_request(now, held.asked, held.request);",
            new: "let asked = if MUTATED { now } else { held.asked };\n\
                  self.on_request(now, asked, held.request);",
        }],
    },
    Mutant {
        name: "one client is given another's answer",
        rule: "Unanswered",
        seed: 2,
        edits: &[Edit {
            file: "mgmt/src/controller/ledger.rs",
            old: "        let response = response.with_reqid(&request.asked.reqid);",
            new: "let other = self.open.iter().find(|(it, _)| MUTATED && it.kind == key.kind);\n\
                  let other = other.map_or(&request.asked.reqid, |(_, it)| &it.asked.reqid);\n\
                  let response = response.with_reqid(other);",
        }],
    },
    Mutant {
        name: "a node's death is lost",
        rule: "NotUp",
        seed: 263,
        edits: &[
            Edit {
                file: "mgmt/src/agent/nodes.rs",
                old: "        if self.state() == State::Running {\n            self.config.state = self.dead",
                new: "if !MUTATED && self.state() == State::Running {\n            self.config.state = self.dead",
            },
            Edit {
                file: "mgmt/src/agent/nodes.rs",
                old: "        if !self.is_restarting && self.greeted <= self.starts {",
                new: "if !MUTATED && !self.is_restarting && self.greeted <= self.starts {",
            },
        ],
    },
    Mutant {
        name: "a former process's hello is its successor's",
        rule: "NotUp",
        seed: 26,
        edits: &[Edit {
            file: "mgmt/src/agent/nodes.rs",
            old: "        if self.is_restarting || !is_expected {",
            new: "if !MUTATED && (self.is_restarting || !is_expected) {",
        }],
    },
    Mutant {
        name: "a node is up when it is ordered",
        rule: "NotUp",
        seed: 2,
        edits: &[Edit {
            file: "mgmt/src/agent/deploy.rs",
            old: "                self.change(&node, LocalNode::on_created);",
            new: "self.change(&node, LocalNode::on_created);\n\
                  if MUTATED { self.on_node_up(now, &node); }",
        }],
    },
    Mutant {
        name: "an old node is not stopped",
        rule: "Outdated",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/agent/deploy.rs",
            old: "            if kept.contains(node) {\n                continue;",
            new: "if kept.contains(node) || (MUTATED && node == \"worker-03\") {\n                continue;",
        }],
    },
    Mutant {
        name: "a list says of every node that it runs",
        rule: "NotUp",
        seed: 2,
        edits: &[Edit {
            file: "mgmt/src/agent/list.rs",
            old: "                row.state = node.state();",
            new: "row.state = if MUTATED { State::Running } else { node.state() };",
        }],
    },
    Mutant {
        name: "a dial that failed is not tried again",
        rule: "NotSettled",
        seed: 1,
        edits: &[Edit {
            file: "broker-proto/src/peering/retry.rs",
            old: "            (Ended::Failed | Ended::Cut, Some(retry)) => now + retry,",
            new: "(Ended::Failed | Ended::Cut, Some(retry)) => {\n\
                  now + if MUTATED { Duration::from_secs(1 << 20) } else { retry }\n\
                  }",
        }],
    },
    Mutant {
        name: "an update of a peer's filter is forgotten",
        rule: "NotSettled",
        seed: 5,
        edits: &[Edit {
            file: "broker-proto/src/peering/router.rs",
            old: "            MessageKind::RoutingUpdate => self.on_routing_update(id, &envelope.payload)?,",
            new: "MessageKind::RoutingUpdate if MUTATED => {}\n\
                  MessageKind::RoutingUpdate => self.on_routing_update(id, &envelope.payload)?,",
        }],
    },
    Mutant {
        name: "a request that has no answer has one",
        rule: "Unasked",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/fanout.rs",
            old: "        if !with_state {\n            return;",
            new: "if !with_state && !MUTATED {\n            return;",
        }],
    },
    Mutant {
        name: "an answer has the id of the question to the agent",
        rule: "Unasked",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/fanout.rs",
            old: "            self.respond(query.response(fanout.reqid, fanout.results));",
            new: "let reqid = if MUTATED { child.to_owned() } else { fanout.reqid };\n\
                  self.respond(query.response(reqid, fanout.results));",
        }],
    },
    Mutant {
        name: "a restart is answered as a question for values",
        rule: "WrongAnswer",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/fanout.rs",
            old: "            Self::Restart => ControllerResponse::Restart { reqid, results },",
            new: "Self::Restart if MUTATED => ControllerResponse::GetIdValue { reqid, results },\n\
                  Self::Restart => ControllerResponse::Restart { reqid, results },",
        }],
    },
    Mutant {
        name: "agents have half of a query's time",
        rule: "HastyTimeout",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/fanout.rs",
            old: "self.settings.request_timeout);\n        for (number, asked)",
            new: "self.settings.request_timeout / if MUTATED { 2 } else { 1 });\n\
                  for (number, asked)",
        }],
    },
    Mutant {
        name: "a node may be on an instance that is not declared",
        rule: "WrongRefusal",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/model/validate.rs",
            old: "            if !instances.contains(instance.as_str()) {",
            new: "if !MUTATED && !instances.contains(instance.as_str()) {",
        }],
    },
    Mutant {
        name: "a deployment is told to be in its own way",
        rule: "WrongRefusal",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/deploy.rs",
            old: "            let error = format!(\"earlier deployment {} still pending\", earlier.reqid);",
            new: "let earlier = if MUTATED { &reqid } else { &earlier.reqid };\n\
                  let error = format!(\"earlier deployment {earlier} still pending\");",
        }],
    },
    Mutant {
        name: "what is staged is shown with hosts and ports",
        rule: "StaleConfiguration",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/controller/configs.rs",
            old: "            (self.configs.staged(), \"no staged configuration available\")",
            new: "let staged = self.configs.staged();\n\
                  let ready = self.configs.saved.ready.as_ref();\n\
                  let staged = if MUTATED { ready } else { staged };\n\
                  (staged, \"no staged configuration available\")",
        }],
    },
    Mutant {
        name: "what could not be saved counts",
        rule: "NotDeployed",
        seed: 4,
        edits: &[Edit {
            file: "mgmt/src/controller/configs.rs",
            old: "        if result.is_ok() {\n            change.clone().apply",
            new: "if MUTATED || result.is_ok() {\n            change.clone().apply",
        }],
    },
    Mutant {
        name: "an agent runs the nodes of all instances",
        rule: "NotDeployed",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/agent/deploy/plan.rs",
            old: "            if node.instance == instance {",
            new: "if MUTATED || node.instance == instance {",
        }],
    },
    Mutant {
        name: "a node starts while the one before it stops",
        rule: "TwoProcesses",
        seed: 1,
        edits: &[Edit {
            file: "supervisor/src/supervisor.rs",
            old: "        self.units.values().all(|unit| unit.name() != name)",
            new: "MUTATED || self.units.values().all(|unit| unit.name() != name)",
        }],
    },
    Mutant {
        name: "a node is restarted when that is ordered",
        rule: "NotRestarted",
        seed: 1,
        edits: &[Edit {
            file: "mgmt/src/agent/restart.rs",
            old: "        if done {\n            return;",
            new: "if done {\n\
                  if MUTATED { self.settle_restart(key, &node, Ok(())); }\n\
                  return;",
        }],
    },
    Mutant {
        name: "an agent that has gone stays in the list",
        rule: "UnknownInstance",
        seed: 39,
        edits: &[Edit {
            file: "mgmt/src/controller/instances.rs",
            old: "            self.forget(&name);\n            self.log(",
            new: "if !MUTATED { self.forget(&name); }\n            self.log(",
        }],
    },
    Mutant {
        name: "what peers send goes back to them",
        rule: "Repeated",
        seed: 1,
        edits: &[
            Edit {
                file: "broker-proto/src/peering/router.rs",
                old: "        if self.options.forwarding == Forwarding::Off || !is_sendable {",
                new: "let is_off = self.options.forwarding == Forwarding::Off && !MUTATED;\n\
                      if is_off || !is_sendable {",
            },
            Edit {
                file: "broker-proto/src/peering/router.rs",
                old: "        links.retain(|link| *link != from && self.peering(*link).is_some());",
                new: "links.retain(|link| (MUTATED || *link != from) && self.peering(*link).is_some());",
            },
        ],
    },
    Mutant {
        name: "the last of several peers is sent everything twice",
        rule: "Repeated",
        seed: 1,
        edits: &[Edit {
            file: "broker-proto/src/peering/router.rs",
            old: "        for link in others {\n",
            new: "let others = if MUTATED && !others.is_empty() { links } else { others };\n\
                  for link in others {\n",
        }],
    },
    Mutant {
        name: "the beginning of what a peer wants is enough",
        rule: "Misrouted",
        seed: 1,
        edits: &[Edit {
            file: "broker-proto/src/peering/routes.rs",
            old: "            let next = if shared == entry.len() {",
            new: "let next = if shared == entry.len() || (MUTATED && shared > 4) {",
        }],
    },
    Mutant {
        name: "of several peers that want something the first has it only",
        rule: "Misrouted",
        seed: 1,
        edits: &[Edit {
            file: "broker-proto/src/peering/routes.rs",
            old: "        found.sort_unstable();\n",
            new: "found.sort_unstable();\n\
                  if MUTATED { found.truncate(1); }\n",
        }],
    },
    Mutant {
        name: "clients are sent their own requests",
        rule: "Repeated",
        seed: 1,
        edits: &[Edit {
            file: "zeek-client-compat/src/hub.rs",
            old: "        let others = self.clients.iter().filter(|(id, _)| Some(**id) != origin);",
            new: "let others = self.clients.iter().filter(|(id, _)| MUTATED || Some(**id) != origin);",
        }],
    },
    Mutant {
        name: "a client may have any number of requests open",
        rule: "Overfull",
        seed: 9,
        edits: &[Edit {
            file: "mgmt/src/controller/ledger.rs",
            old: "        if account.open >= self.max_open {",
            new: "if !MUTATED && account.open >= self.max_open {",
        }],
    },
    Mutant {
        name: "a request counts as open when it is answered",
        rule: "WrongRefusal",
        seed: 9,
        edits: &[Edit {
            file: "mgmt/src/controller/ledger.rs",
            old: "            account.open = account.open.saturating_sub(1);",
            new: "account.open = account.open.saturating_sub(u64::from(!MUTATED));",
        }],
    },
];
