//! The client side: one WebSocket connection, requests one after the other or many at once.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use broker_proto::Data;
use broker_proto::zeek::{Any, Event};
use harness::websocket::{Answer, WebSocket, frame};
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::api::{ApiResult, CONTROLLER_TOPIC};
use mgmt::model::Configuration;
use zeek_client_compat::json;

use crate::agents::node_name;

/// An answer's request id stands this close to its start, in bytes.
const HEAD: usize = 1024;

pub(crate) struct Client {
    socket: WebSocket,
    /// Distinguishes its requests from other clients', whose answers it is sent, too.
    name: String,
    asked: usize,
}

/// What can be asked of a fleet.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Instances,
    Configuration,
    Nodes,
    /// Of these nodes, or all if there are none.
    IdValue(BTreeSet<String>),
    Restart(BTreeSet<String>),
    Deploy,
}

impl Ask {
    fn request(&self, reqid: String) -> ControllerRequest {
        match self.clone() {
            Self::Instances => ControllerRequest::GetInstances { reqid },
            Self::Configuration => {
                let deployed = true;
                ControllerRequest::GetConfiguration { reqid, deployed }
            }
            Self::Nodes => ControllerRequest::GetNodes { reqid },
            Self::IdValue(nodes) => {
                let id = "Broker::default_listen_address".to_owned();
                ControllerRequest::GetIdValue { reqid, id, nodes }
            }
            Self::Restart(nodes) => ControllerRequest::Restart { reqid, nodes },
            Self::Deploy => ControllerRequest::Deploy { reqid },
        }
    }
}

impl Client {
    pub(crate) fn new(port: u16) -> io::Result<Self> {
        Self::named(port, format!("{:012x}", 0))
    }

    fn named(port: u16, name: String) -> io::Result<Self> {
        let socket = WebSocket::subscribed(port)?;
        let asked = 0;
        Ok(Self {
            socket,
            name,
            asked,
        })
    }

    /// Asks and reads the answer to the last value of it.
    pub(crate) fn read(&mut self, ask: &Ask) -> io::Result<ControllerResponse> {
        let reqid = self.reqid();
        self.socket.answer(&ask.request(reqid))
    }

    /// How many agents the controller says are connected.
    pub(crate) fn instances(&mut self) -> io::Result<usize> {
        let ControllerResponse::GetInstances { result, .. } = self.read(&Ask::Instances)? else {
            return Err(io::Error::other("another answer than the one asked for"));
        };
        Ok(rows(&result))
    }

    /// How many nodes the agents list.
    pub(crate) fn nodes(&mut self) -> io::Result<usize> {
        let ControllerResponse::GetNodes { results, .. } = self.read(&Ask::Nodes)? else {
            return Err(io::Error::other("another answer than the one asked for"));
        };
        let results = results.iter().filter(|result| result.success);
        Ok(results.map(rows).sum())
    }

    /// Has a configuration kept for the next deployment; how long that took.
    pub(crate) fn stage(&mut self, config: &Configuration) -> io::Result<Duration> {
        let (reqid, config) = (self.reqid(), config.clone());
        let request = ControllerRequest::StageConfiguration { reqid, config };
        let (reqid, bytes) = prepared(request);
        let begin = Instant::now();
        self.socket.sender()?.write_all(&bytes)?;
        let answer = self.await_answer(&reqid)?;
        let time = begin.elapsed();
        match answer.contains("\"data\":true") {
            true => Ok(time),
            false => Err(io::Error::other(start(&answer).to_owned())),
        }
    }

    /// From the write of a request to the read of its answer, one after the other.
    pub(crate) fn sequential(&mut self, ask: &Ask, count: usize) -> io::Result<Vec<Duration>> {
        let times = (0..count).map(|_| {
            let (reqid, bytes) = prepared(ask.request(self.reqid()));
            let begin = Instant::now();
            self.socket.sender()?.write_all(&bytes)?;
            self.await_answer(&reqid)?;
            Ok(begin.elapsed())
        });
        times.collect()
    }

    /// So many at once: sends them as fast as they are taken, while it reads the answers. Returns
    /// when each answer came, from the first request on.
    pub(crate) fn pipelined(&mut self, ask: &Ask, count: usize) -> io::Result<Vec<Duration>> {
        let requests = (0..count).map(|_| prepared(ask.request(self.reqid())));
        let (reqids, bytes): (Vec<String>, Vec<Vec<u8>>) = requests.unzip();
        let mut missing: BTreeSet<String> = reqids.into_iter().collect();
        let mut sender = self.socket.sender()?;
        let begin = Instant::now();
        let sending = thread::spawn(move || sender.write_all(&bytes.concat()));
        let mut times = Vec::new();
        while !missing.is_empty() {
            let answer = self.next_response()?;
            let head = start(&answer);
            let known = missing.iter().find(|reqid| head.contains(*reqid)).cloned();
            if let Some(reqid) = known {
                missing.remove(&reqid);
                times.push(begin.elapsed());
            }
        }
        sending
            .join()
            .map_err(|_| io::Error::other("the sender panicked"))??;
        Ok(times)
    }

    fn await_answer(&mut self, reqid: &str) -> io::Result<String> {
        loop {
            let answer = self.next_response()?;
            if start(&answer).contains(reqid) {
                return Ok(answer);
            }
        }
    }

    fn next_response(&mut self) -> io::Result<String> {
        loop {
            match self.socket.receive()? {
                Answer::Text(text) if start(&text).contains("_response") => return Ok(text),
                Answer::Text(_) => {}
                other @ (Answer::Close(_) | Answer::End) => {
                    return Err(io::Error::other(format!("no answer but {other:?}")));
                }
            }
        }
    }

    fn reqid(&mut self) -> String {
        self.asked += 1;
        format!("{:08}-c6f1-11f0-9a3b-{}", self.asked, self.name)
    }
}

/// A client of its own that always waits for the first agent's answers, and reads whatever comes.
pub(crate) struct Waiting {
    ends: Arc<AtomicBool>,
    asking: thread::JoinHandle<io::Result<()>>,
    reading: thread::JoinHandle<io::Result<()>>,
}

impl Waiting {
    /// So many requests are open at any time, but for a pause after their answers. The last answers
    /// of another one like it are told apart by its number, which is not 0.
    pub(crate) fn start(port: u16, most: usize, number: usize) -> io::Result<Self> {
        let name = format!("{number:012x}");
        let mut client = Client::named(port, name.clone())?;
        let mut sender = client.socket.sender()?;
        let ends = Arc::new(AtomicBool::new(false));
        let open = Arc::new(AtomicUsize::new(0));
        let answered = Arc::clone(&open);
        let ended = Arc::clone(&ends);
        let asking = thread::spawn(move || {
            let ask = Ask::IdValue([node_name(0, 0)].into());
            let mut asked = 0_usize;
            loop {
                // The last one is asked when nothing may be open any more, for the reader to see that.
                let is_last = ended.load(Ordering::Acquire);
                while open.load(Ordering::Acquire) < most {
                    open.fetch_add(1, Ordering::AcqRel);
                    asked += 1;
                    let reqid = format!("{asked:08}-c6f1-11f0-9a3b-{name}");
                    sender.write_all(&prepared(ask.request(reqid)).1)?;
                    if is_last {
                        return Ok(());
                    }
                }
                thread::park_timeout(PAUSE);
            }
        });
        let ended = Arc::clone(&ends);
        let reading = thread::spawn(move || {
            while !ended.load(Ordering::Acquire) || answered.load(Ordering::Acquire) > 0 {
                if start(&client.next_response()?).contains(&client.name) {
                    answered.fetch_sub(1, Ordering::AcqRel);
                }
            }
            Ok(())
        });
        Ok(Self {
            ends,
            asking,
            reading,
        })
    }

    /// Waits for what is open.
    pub(crate) fn end(self) -> io::Result<()> {
        self.ends.store(true, Ordering::Release);
        for thread in [self.asking, self.reading] {
            let ended = thread.join();
            ended.map_err(|_| io::Error::other("a client panicked"))??;
        }
        Ok(())
    }
}

/// Agents that answer at once are not to be asked without end.
const PAUSE: Duration = Duration::from_millis(250);

/// As zeek-client writes it, which sorts the members of objects: the value comes before the topic.
fn prepared(request: ControllerRequest) -> (String, Vec<u8>) {
    const TEXT: u8 = 1;
    let reqid = request.reqid().to_owned();
    let value = json::encode(&Event::from(request).into_data());
    let members = value.strip_suffix('}').unwrap_or(&value);
    let text = format!(r#"{members},"topic":"{CONTROLLER_TOPIC}","type":"data-message"}}"#);
    (reqid, frame(TEXT, text.as_bytes()))
}

fn start(text: &str) -> &str {
    let mut end = HEAD.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

fn rows(result: &ApiResult) -> usize {
    match result.data.as_ref().map(Any::to_data) {
        Some(Data::Vector(rows)) => rows.len(),
        Some(_) | None => 0,
    }
}
