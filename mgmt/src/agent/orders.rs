//! What the agent asks its supervisor, in the layout that this one reads (API §1.5).
//!
//! A supervisor drops a node configuration of another layout than its own without a word, or, being
//! of Zeek 5.1 or 5.2, takes one of 6.1 or later for something else. So the layout is learned before
//! the first node is ordered: from what the supervisor says by itself, if that shows it, and else by
//! asking for a node without name in each of the layouts. No release creates such a node, but the
//! one that can read the order says so. Orders wait for that, and with them what is asked after them.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use broker_proto::zeek::{Event, ToData};
use broker_proto::{Data, IdGen};
use supervisor::api::{Layout, NodeConfig, SupervisorRequest, accept_short};
use tracing::{info, warn};

/// The layouts that differ in the record itself; the supervisors of Zeek 6.1 and later read the
/// youngest. Ours reads all of them, so the best comes first.
const LAYOUTS: [Layout; 4] = [Layout::V7_0, Layout::V6_0, Layout::V5_1, Layout::V4_1];

/// Orders on their way to the supervisor.
#[derive(Debug)]
pub(super) struct Orders {
    layout: Known,
    ids: IdGen,
    /// A supervisor that can be reached answers at once; after this time the youngest layout it is.
    patience: Duration,
}

#[derive(Debug)]
enum Known {
    /// Nothing is, and nothing was to be ordered.
    Nothing,
    /// Asked for.
    Asked {
        /// By the id of the order that shows it.
        probes: Vec<(String, Layout)>,
        deadline: Instant,
        waiting: VecDeque<SupervisorRequest>,
    },
    /// There was no answer in time, so it is the youngest, unless one comes after all.
    Assumed {
        /// As when they were asked.
        probes: Vec<(String, Layout)>,
    },
    /// For as long as this supervisor stays.
    Layout(Layout, Metadata),
}

/// What the supervisor makes of metadata in requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Metadata {
    /// Unknown, so it is sent none.
    Unknown,
    /// It ignores what it does not know, being of Zeek 8.0 or later, or it is ours, and gives
    /// shorter answers.
    Tolerated,
}

impl Orders {
    /// For a supervisor of which nothing is known. It may take this long to answer.
    pub(super) fn new(ids: IdGen, patience: Duration) -> Self {
        Self {
            layout: Known::Nothing,
            ids,
            patience,
        }
    }

    /// The supervisor is gone, with all that it was to be told. Its successor may be of another
    /// release.
    pub(super) fn forget(&mut self) {
        self.layout = Known::Nothing;
    }

    /// Whether the supervisor's messages are to be shown to [`Self::learn`].
    pub(super) fn is_curious(&self) -> bool {
        !matches!(self.layout, Known::Layout(..))
    }

    /// What to publish for a request, perhaps nothing for the time being.
    pub(super) fn order(&mut self, now: Instant, request: SupervisorRequest) -> Vec<Event> {
        let is_order = matches!(request, SupervisorRequest::Create { .. });
        match &mut self.layout {
            Known::Layout(layout, metadata) => vec![asked(request, *layout, *metadata)],
            Known::Assumed { .. } => vec![event(request, Layout::default())],
            // What follows an order must not overtake it: a list without its node would say that
            // there is nothing to end.
            Known::Asked { waiting, .. } => {
                waiting.push_back(request);
                Vec::new()
            }
            Known::Nothing if is_order => self.probe(now, request),
            Known::Nothing => vec![request.into()],
        }
    }

    /// Looks at a message of the supervisor's; returns what can be ordered by now.
    pub(super) fn learn(&mut self, message: &Event) -> Vec<Event> {
        match self.layout_in(message) {
            Some((layout, metadata)) => {
                info!(?layout, "the supervisor's version of Zeek is seen");
                self.settle(layout, metadata)
            }
            None => Vec::new(),
        }
    }

    /// What can be ordered because the supervisor has had its time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Event> {
        if self.poll_timeout().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        warn!(
            "the supervisor does not show how it reads orders, taken for one of Zeek 7.0 or later"
        );
        match std::mem::replace(&mut self.layout, Known::Nothing) {
            Known::Asked {
                probes, waiting, ..
            } => {
                self.layout = Known::Assumed { probes };
                in_layout(waiting, Layout::default())
            }
            other @ (Known::Nothing | Known::Assumed { .. } | Known::Layout(..)) => {
                self.layout = other;
                Vec::new()
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.layout {
            Known::Asked { deadline, .. } => Some(*deadline),
            Known::Nothing | Known::Assumed { .. } | Known::Layout(..) => None,
        }
    }

    fn probe(&mut self, now: Instant, request: SupervisorRequest) -> Vec<Event> {
        let probes = LAYOUTS.map(|layout| (self.ids.unique_id(), layout));
        // With this flag no layout can be taken for another: what is next to it are texts and lists.
        let node = NodeConfig {
            bare_mode: Some(false),
            ..NodeConfig::named("")
        };
        let events = probes.iter().map(|(reqid, layout)| {
            let (reqid, node) = (reqid.clone(), node.clone());
            event(SupervisorRequest::Create { reqid, node }, *layout)
        });
        let events = events.collect();
        self.layout = Known::Asked {
            probes: probes.into(),
            deadline: now + self.patience,
            waiting: [request].into(),
        };
        events
    }

    fn settle(&mut self, layout: Layout, metadata: Metadata) -> Vec<Event> {
        let known = Known::Layout(layout, metadata);
        let before = std::mem::replace(&mut self.layout, known);
        match before {
            Known::Asked { waiting, .. } => in_layout(waiting, layout),
            Known::Nothing | Known::Assumed { .. } | Known::Layout(..) => Vec::new(),
        }
    }

    fn layout_in(&self, message: &Event) -> Option<(Layout, Metadata)> {
        let kind = message.name.strip_prefix("SupervisorControl::")?;
        if !kind.ends_with("_response") && kind != "node_status" {
            return None;
        }
        // Only Zeek 8.0 and later, and ours, leave metadata empty (WIRE §8.2). What our supervisor
        // lists may still be laid out for the agent before this one.
        if message.metadata.as_ref().is_some_and(Vec::is_empty) {
            return Some((Layout::default(), Metadata::Tolerated));
        }
        let layout = match (kind, message.args.as_slice()) {
            ("status_response", [_, status]) => Layout::seen_in_status(status),
            ("create_response", [Data::String(reqid), _]) => self.probed(reqid.to_str()?),
            _ => None,
        };
        layout.map(|layout| (layout, Metadata::Unknown))
    }

    fn probed(&self, reqid: &str) -> Option<Layout> {
        match &self.layout {
            Known::Asked { probes, .. } | Known::Assumed { probes } => {
                let mut probes = probes.iter();
                probes
                    .find(|(id, _)| id == reqid)
                    .map(|(_, layout)| *layout)
            }
            Known::Nothing | Known::Layout(..) => None,
        }
    }
}

fn in_layout(waiting: VecDeque<SupervisorRequest>, layout: Layout) -> Vec<Event> {
    let waiting = waiting.into_iter();
    waiting.map(|request| event(request, layout)).collect()
}

/// A status without every node's cluster is enough, if this supervisor knows how.
fn asked(request: SupervisorRequest, layout: Layout, metadata: Metadata) -> Event {
    let is_status = matches!(request, SupervisorRequest::Status { .. });
    let mut event = event(request, layout);
    if is_status && metadata == Metadata::Tolerated {
        accept_short(&mut event);
    }
    event
}

fn event(request: SupervisorRequest, layout: Layout) -> Event {
    let name = request.event_name();
    match request {
        SupervisorRequest::Create { reqid, node } => {
            Event::new(name, vec![reqid.into_data(), node.into_data_as(layout)])
        }
        SupervisorRequest::Status { .. }
        | SupervisorRequest::Restart { .. }
        | SupervisorRequest::Destroy { .. }
        | SupervisorRequest::Stop {} => request.into(),
    }
}
