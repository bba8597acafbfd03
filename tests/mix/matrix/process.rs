//! A simulated stock process on real sockets.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_proto::io::handle::{self, Handle, Options, Status};
use broker_proto::io::tls::connector_and_acceptor;
use broker_proto::peering::PeerAddr;
use broker_proto::tls::Tls;
use broker_proto::zeek::Event;
use broker_proto::{Data, Timestamp, Topic};
use tokio::sync::Notify;

use crate::stock::node::Node;
use crate::stock::peer::is_nameless;
use crate::stock::release::{Metadata, Release};
use crate::stock::shapes::{self, Part};
use crate::stock::{Act, NodeOrder, Scripts};

/// A machine that is busy with other tests is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process, shared with the task that runs it; dropped with its runtime.
pub(super) struct Process<S> {
    scripts: Arc<Mutex<S>>,
    changed: Arc<Notify>,
    voice: Voice,
}

/// What all simulated processes of a cell have in common.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) release: &'static Release,
    pub(super) tls: Tls,
    /// What was sent to them and they would drop.
    pub(super) complaints: Arc<Mutex<Vec<String>>>,
}

/// How it publishes.
#[derive(Clone)]
struct Voice {
    handle: Handle,
    part: Part,
    stage: Stage,
}

impl Stage {
    fn options(&self) -> Options {
        let (connector, acceptor) = connector_and_acceptor(&self.tls).unwrap();
        Options::new(connector, acceptor)
    }

    fn check(&self, part: Part, name: &str, args: &[Data]) -> bool {
        let release = self.release;
        let Err(error) = shapes::complaint(release, part, name, args) else {
            return true;
        };
        // How our agent learns what this supervisor reads (API §15.2).
        if name != "SupervisorControl::create_request" || !is_nameless(args) {
            let complaint = format!("a {release:?} {part:?} drops {error}");
            self.complaints.lock().unwrap().push(complaint);
        }
        false
    }
}

/// A process's scripts once its endpoint has an id.
pub(super) type Make<'a, S> = &'a (dyn Fn(&Handle) -> S + Sync);

impl<S: Scripts + Send + 'static> Process<S> {
    /// Starts one that subscribes, listens and dials.
    pub(super) async fn start(
        stage: &Stage,
        part: Part,
        filter: &[&str],
        make: Make<'_, S>,
        (listens, dials): (Option<u16>, &[u16]),
    ) -> Self {
        let handle = handle::spawn(stage.options());
        let topics = filter.iter().map(|topic| Topic::new(*topic).unwrap());
        let mut messages = handle.subscribe_all(topics.collect()).await.unwrap();
        let mut status = handle.status().await.unwrap();
        let scripts = Arc::new(Mutex::new(make(&handle)));
        let changed = Arc::new(Notify::new());
        let voice = Voice {
            handle: handle.clone(),
            part,
            stage: stage.clone(),
        };
        let (task_voice, task_scripts, task_changed) =
            (voice.clone(), Arc::clone(&scripts), Arc::clone(&changed));
        tokio::spawn(async move {
            loop {
                let acts = tokio::select! {
                    // What a peer says comes after the news of it.
                    biased;
                    news = status.next() => match news {
                        Some(Status::PeerUp { .. }) => task_scripts.lock().unwrap().up(),
                        Some(Status::PeerDown { .. } | Status::PeerUnreachable { .. }) => vec![],
                        None => return,
                    },
                    message = messages.next() => {
                        let Some(message) = message else { return };
                        // Logs are no events.
                        let Ok(event) = message.event() else { continue };
                        let Event { name, args, .. } = event;
                        if !task_voice.stage.check(part, &name, &args) {
                            continue;
                        }
                        let topic = message.topic.to_string();
                        task_scripts.lock().unwrap().hear(&topic, &name, &args)
                    }
                };
                task_voice.act(acts).await;
                task_changed.notify_waiters();
            }
        });
        let process = Self {
            scripts,
            changed,
            voice,
        };
        process.connect(listens, dials).await;
        process
    }

    /// Listens and dials.
    pub(super) async fn connect(&self, listens: Option<u16>, dials: &[u16]) {
        let handle = &self.voice.handle;
        if let Some(port) = listens {
            handle.listen(&local(port)).await.unwrap();
        }
        for port in dials {
            let retry = Some(Duration::from_secs(1));
            handle.peer(&local(*port), retry).await.unwrap();
        }
    }

    /// Does something of its own accord.
    pub(super) async fn act(&self, act: impl FnOnce(&mut S) -> Vec<Act>) {
        let acts = act(&mut self.scripts.lock().unwrap());
        self.voice.act(acts).await;
    }

    /// Waits until its scripts give a value.
    pub(super) async fn wait<T>(&self, mut ready: impl FnMut(&mut S) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(value) = ready(&mut self.scripts.lock().unwrap()) {
                return value;
            }
            let waited = tokio::time::timeout_at(deadline, changed).await;
            assert!(waited.is_ok(), "nothing came within {PATIENCE:?}");
        }
    }
}

impl Voice {
    async fn act(&self, acts: Vec<Act>) {
        for act in acts {
            match act {
                // Over sockets it takes its time anyway.
                Act::Say {
                    topic, name, args, ..
                } => self.say(&topic, name, args).await,
                Act::Start(order) => self.start_node(order).await,
                Act::Stop(_) => {}
            }
        }
    }

    /// It lives as long as its runtime does.
    fn start_node(&self, order: NodeOrder) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let stage = self.stage.clone();
        Box::pin(async move {
            let NodeOrder { name, agent_port } = order;
            let filter = Node::filter(&name);
            let filter = filter.each_ref().map(String::as_str);
            let make = |_: &_| Node::new(&name);
            let dials = [agent_port.unwrap_or(2151)];
            let places = (None, &dials[..]);
            Process::start(&stage, Part::Node, &filter, &make, places).await;
        })
    }

    async fn say(&self, topic: &str, name: String, args: Vec<Data>) {
        let metadata = match self.part {
            Part::Supervisor => self.stage.release.supervisor_metadata,
            Part::Controller | Part::Agent | Part::Node => self.stage.release.metadata,
        };
        let metadata = match metadata {
            Metadata::Absent => None,
            Metadata::Empty => Some(vec![]),
            Metadata::Timestamp => Some(vec![(1, Data::Timestamp(Timestamp(1)))]),
        };
        let event = Event {
            name,
            args,
            metadata,
        };
        // The test may be over.
        let _ = self.handle.publish(Topic::new(topic).unwrap(), event).await;
    }
}

fn local(port: u16) -> PeerAddr {
    PeerAddr {
        host: "127.0.0.1".into(),
        port,
    }
}
