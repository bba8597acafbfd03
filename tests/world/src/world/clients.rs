//! Clients of the controller's WebSocket port: each a connection that asks, and may vanish.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use broker_proto::zeek::Event as ZeekEvent;
use mgmt::api::CONTROLLER_TOPIC;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::controller::process::Input;
use zeek_client_compat::hub::{self, ClientId};
use zeek_client_compat::message::{self, DataMessage};

use super::{Event, Who, World};
use crate::fault::Fault;
use crate::seen::{Client, Seen};

/// Those that are connected, and who asked what.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    connected: BTreeMap<Client, Connection>,
    /// Whose each request is, and when it was sent.
    asked: BTreeMap<String, (Client, Instant)>,
    pub(crate) answers: BTreeMap<String, ControllerResponse>,
    /// Requests that have no answer.
    silent: BTreeSet<String>,
    last_client: u32,
    last_request: u32,
    /// How many shall come back when the controller does.
    returning: usize,
    /// What was read last: the same text goes to everybody.
    last_text: Option<(hub::Text, Told)>,
}

#[derive(Debug)]
struct Connection {
    /// When what is sent next arrives at the earliest.
    free: Instant,
    /// Nobody is there any more, and the controller does not know yet.
    is_leaving: bool,
}

/// What the controller's program hears of a client.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Opened(Client),
    Text(Client, String),
    /// What is no request.
    Rubbish(Client, String),
    /// With the request that it is.
    Request(Client, String, Box<ControllerRequest>),
    Closed(Client, &'static str),
}

impl World {
    /// Those that do not know yet that they are gone aside.
    pub(crate) fn present_clients(&self) -> Vec<Client> {
        let clients = self.clients.connected.iter();
        let here = clients.filter(|(_, connection)| !connection.is_leaving);
        here.map(|(client, _)| *client).collect()
    }

    /// Somebody connects and subscribes.
    pub(crate) fn connect_client(&mut self) -> Option<Client> {
        let who = self.controller?;
        self.clients.last_client += 1;
        let client = Client(self.clients.last_client);
        let connection = Connection {
            free: self.now,
            is_leaving: false,
        };
        self.clients.connected.insert(client, connection);
        self.news(who, client, News::Opened(client));
        let topics = format!("[\"{CONTROLLER_TOPIC}\"]");
        self.news(who, client, News::Text(client, topics));
        Some(client)
    }

    /// Sends a request under an id of its own, and returns that.
    pub(crate) fn ask(&mut self, client: Client, request: ControllerRequest) -> String {
        self.clients.last_request += 1;
        let reqid = format!("r{}", self.clients.last_request);
        let request = request.with_reqid(reqid.clone());
        let is_never_answered = matches!(
            request,
            ControllerRequest::TestTimeout {
                with_state: false,
                ..
            }
        );
        if is_never_answered {
            self.clients.silent.insert(reqid.clone());
        }
        self.clients.asked.insert(reqid.clone(), (client, self.now));
        let event = ZeekEvent::from(request.clone());
        let text = message::event(&CONTROLLER_TOPIC, event);
        if let Some(who) = self.controller {
            self.news(who, client, News::Request(client, text, Box::new(request)));
        }
        reqid
    }

    /// Sends what is no request.
    pub(crate) fn babble(&mut self, client: Client, text: String) {
        if let Some(who) = self.controller {
            self.news(who, client, News::Rubbish(client, text));
        }
    }

    /// Somebody goes away, perhaps in the middle of everything.
    pub(crate) fn disconnect_client(&mut self, client: Client) {
        if let Some(connection) = self.clients.connected.get_mut(&client) {
            connection.is_leaving = true;
            let fault = match self.record.tally.is_waiting(client) {
                true => Fault::WaitingClientGone,
                false => Fault::ClientGone,
            };
            self.note(fault);
            if let Some(who) = self.controller {
                self.news(who, client, News::Closed(client, "gone"));
            }
        }
    }

    fn news(&mut self, who: Who, client: Client, news: News) {
        let wait = match self.is_network_bad() {
            true => self.chance.micros(100..300_000),
            false => self.chance.micros(100..2000),
        };
        let Some(connection) = self.clients.connected.get_mut(&client) else {
            return;
        };
        connection.free = connection.free.max(self.now + wait);
        let at = connection.free;
        self.later(at, Event::Client(who, news));
    }

    pub(super) fn on_client_news(&mut self, who: Who, news: News) {
        let (News::Opened(client)
        | News::Text(client, _)
        | News::Rubbish(client, _)
        | News::Request(client, ..)
        | News::Closed(client, _)) = &news;
        let client = *client;
        if self.controller != Some(who) || !self.clients.connected.contains_key(&client) {
            return;
        }
        let id = ClientId(u64::from(client.0));
        let input = match news {
            News::Opened(_) => hub::Input::Opened {
                client: id,
                remote: SocketAddr::from(([10, 0, 1, 1], 40_000)),
                application: None,
                certificate: None,
            },
            News::Text(_, text) => self.said(client, text),
            News::Rubbish(_, text) => {
                self.note(Fault::Rubbish);
                self.said(client, text)
            }
            News::Request(_, text, request) => {
                self.see(Seen::Asked {
                    client,
                    request: *request,
                });
                hub::Input::Text { client: id, text }
            }
            News::Closed(_, reason) => {
                self.clients.connected.remove(&client);
                self.client_gone(client);
                let reason = reason.to_owned();
                hub::Input::Closed { client: id, reason }
            }
        };
        self.tell_controller(who, Input::WebSocket(input));
    }

    fn said(&mut self, client: Client, text: String) -> hub::Input {
        self.tell(format_args!("{client:?} says {text}"));
        let client = ClientId(u64::from(client.0));
        hub::Input::Text { client, text }
    }

    pub(super) fn obey_hub(&mut self, order: hub::Output) {
        match order {
            hub::Output::Send { client, text } => self.on_text(client, &text),
            hub::Output::Close { client, .. } => {
                let client = Client(u32::try_from(client.0).unwrap());
                if let (Some(connection), Some(who)) =
                    (self.clients.connected.get_mut(&client), self.controller)
                {
                    connection.is_leaving = true;
                    self.news(who, client, News::Closed(client, "told to go"));
                }
            }
            hub::Output::Deliver { .. }
            | hub::Output::Refused { .. }
            | hub::Output::Unread { .. }
            | hub::Output::Unsent { .. } => {
                panic!("the process keeps these to itself")
            }
        }
    }

    /// Answers go to everybody: all of them are seen, and only who asked has waited for one.
    fn on_text(&mut self, client: ClientId, text: &hub::Text) {
        let client = Client(u32::try_from(client.0).unwrap());
        let known = self.clients.last_text.as_ref();
        let told = match known.filter(|(known, _)| known == text) {
            Some((_, told)) => told.clone(),
            None => {
                let told = read(text);
                self.clients.last_text = Some((text.clone(), told.clone()));
                told
            }
        };
        let response = match told {
            Told::Response(response) => *response,
            Told::Request(reqid) => {
                let at = self.since_start();
                return self
                    .record
                    .judge(at, |model| model.overhear(at, client, &reqid));
            }
            Told::Other => return,
        };
        let asked = self.clients.asked.get(response.reqid()).copied();
        if asked.is_none_or(|(owner, _)| owner == client) {
            let reqid = response.reqid().to_owned();
            self.clients.answers.insert(reqid, response.clone());
        }
        if let Some((owner, at)) = asked
            && owner == client
        {
            self.note_deployed(at, &response);
        }
        self.see(Seen::Answered { client, response });
    }

    /// The controller is gone, and their connections with it.
    pub(super) fn lose_clients(&mut self) {
        let here = self.present_clients().len();
        self.clients.returning = here;
        self.clients.connected.clear();
    }

    pub(super) fn reconnect_clients(&mut self) {
        for _ in 0..std::mem::take(&mut self.clients.returning) {
            self.connect_client();
        }
    }

    /// Forgets what was asked and answered.
    pub(crate) fn forget_answers(&mut self) {
        self.clients.asked.clear();
        self.clients.answers.clear();
        self.clients.silent.clear();
    }

    /// Requests of clients that are still there, and that have no answer.
    pub(crate) fn unanswered(&self) -> BTreeSet<&str> {
        let asked = self.clients.asked.iter();
        let open = asked.filter(|(reqid, (client, _))| {
            self.clients.connected.contains_key(client)
                && !self.clients.answers.contains_key(*reqid)
                && !self.clients.silent.contains(*reqid)
        });
        open.map(|(reqid, _)| reqid.as_str()).collect()
    }
}

/// What a client is sent.
#[derive(Clone, Debug)]
enum Told {
    Response(Box<ControllerResponse>),
    /// Somebody's request, by its id.
    Request(String),
    /// An ack, or an error.
    Other,
}

fn read(text: &str) -> Told {
    if !text.contains("_response") && !text.contains("_request") {
        return Told::Other;
    }
    let message = DataMessage::parse(text).ok();
    let event = message.and_then(|message| ZeekEvent::from_data(message.data).ok());
    let Some(event) = event else {
        return Told::Other;
    };
    if let Ok(response) = ControllerResponse::try_from(event.clone()) {
        return Told::Response(Box::new(response));
    }
    match ControllerRequest::try_from(event) {
        Ok(request) => Told::Request(request.reqid().to_owned()),
        Err(_) => Told::Other,
    }
}
