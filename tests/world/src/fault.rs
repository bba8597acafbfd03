//! What goes wrong in worlds, kind by kind, and what is promised meanwhile and afterwards.

/// A kind of fault. One that had nothing to hit is none: a reset without a link, the end of a process
/// that was not there, a host cut off that nobody wanted to reach.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// The network takes 0.2 to 3 s for something.
    BytesLate,
    /// Less arrives at once than was sent at once.
    BytesChopped,
    /// A program hears late that it has written.
    WriteLate,
    /// A message does not fit any more between its sender and who does not read.
    BufferFull,
    /// A link is gone for both ends, and what was on its way.
    LinkReset,
    /// What one end of a link sends stays on its way for up to 13 s.
    LinkStuck,
    /// Something does not get from one host to another; the way back is free.
    CutOneWay,
    /// Something does not get from one host to another, nor would an answer.
    CutBothWays,
    /// The controller is killed.
    ControllerKilled,
    /// The controller's host loses its power.
    ControllerUnpowered,
    /// One of these two comes in the middle of a save.
    SaveTorn,
    /// A save takes 0.2 to 40 s.
    SaveLate,
    /// A save fails: the disk is full, or does not sync.
    SaveFailed,
    /// An agent is killed.
    AgentKilled,
    /// An agent does nothing for up to 15 s.
    AgentStopped,
    /// A supervisor is killed, and all its nodes with it.
    SupervisorKilled,
    /// A supervisor does nothing for up to 15 s.
    SupervisorStopped,
    /// A sensor's host loses its power.
    SensorUnpowered,
    /// A node dies by itself.
    NodeDied,
    /// A node does nothing for up to 30 s.
    NodeStopped,
    /// A node's process takes 0.5 to 12 s until it is on the network.
    NodeStartsLate,
    /// A node's process never gets to the network.
    NodeNeverStarts,
    /// A node is asked, and takes up to 8 s to answer.
    NodeAnswersLate,
    /// A node is asked, and does not answer.
    NodeSilent,
    /// A node is told to end, and takes 4 to 24 s.
    NodeEndsLate,
    /// A node is told to end, and does not.
    NodeIgnoresTerm,
    /// A node prints up to 30 kB at once.
    NodeFloods,
    /// A process cannot be started.
    SpawnFailed,
    /// A directory cannot be made.
    DirectoryFailed,
    /// A client goes away that waits for nothing.
    ClientGone,
    /// A client goes away while it waits for an answer.
    WaitingClientGone,
    /// A client says what is no request.
    Rubbish,
    /// A client asks for something while it waits for something else.
    AskedMeanwhile,
    /// A stock agent does what another one is asked, whose name begins with its own (API §12.1 D01).
    StockOverheard,
    /// A stock agent begins a deployment of nothing that nobody finishes (API §12.2 D30).
    StockStandby,
    /// A stock agent's deployment loses its id to the expiry of another (API §12.2 D32).
    StockIdLost,
    /// A stock agent loses a list of its nodes (API §12.2 D33).
    StockListLost,
    /// A stock supervisor is told something while its stem waits for a node's end (API §12.3 D50).
    StockStemBusy,
}

/// The kinds of faults under which the same is promised.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// What.
    pub text: &'static str,
    /// Under these.
    pub faults: &'static [Fault],
}

/// All kinds of faults.
pub const PROMISES: [Promise; 9] = [
    Promise {
        text: "each request of a client that stays has one answer within 10 s, a deployment within \
               19 s; it holds at some moment between the two",
        faults: &[
            Fault::BytesLate,
            Fault::BytesChopped,
            Fault::WriteLate,
            Fault::BufferFull,
            Fault::LinkReset,
            Fault::LinkStuck,
            Fault::CutOneWay,
            Fault::CutBothWays,
        ],
    },
    Promise {
        text: "what was told to be staged or deployed is there again, whatever was not told is there \
               whole or not at all; nothing is answered that an earlier controller was asked",
        faults: &[
            Fault::ControllerKilled,
            Fault::ControllerUnpowered,
            Fault::SaveTorn,
        ],
    },
    Promise {
        text: "success is told only of what is on disk, failure only of what is not, the time of \
               requests is kept",
        faults: &[Fault::SaveLate, Fault::SaveFailed],
    },
    Promise {
        text: "no node runs that no deployed configuration has there, none twice; a node that is told \
               to be up has said hello",
        faults: &[
            Fault::AgentKilled,
            Fault::AgentStopped,
            Fault::SupervisorKilled,
            Fault::SupervisorStopped,
            Fault::SensorUnpowered,
        ],
    },
    Promise {
        text: "a node that is listed as running lives or ended just now; old nodes are gone a minute \
               after a deployment has succeeded",
        faults: &[
            Fault::NodeDied,
            Fault::NodeStopped,
            Fault::NodeStartsLate,
            Fault::NodeNeverStarts,
            Fault::NodeAnswersLate,
            Fault::NodeSilent,
            Fault::NodeEndsLate,
            Fault::NodeIgnoresTerm,
            Fault::NodeFloods,
        ],
    },
    Promise {
        text: "the deployment tells which node failed",
        faults: &[Fault::SpawnFailed, Fault::DirectoryFailed],
    },
    Promise {
        text: "others are answered as if they were alone",
        faults: &[
            Fault::ClientGone,
            Fault::WaitingClientGone,
            Fault::Rubbish,
            Fault::AskedMeanwhile,
        ],
    },
    Promise {
        text: "all of the above, but for what such agents tell of their own nodes",
        faults: &[
            Fault::StockOverheard,
            Fault::StockStandby,
            Fault::StockIdLost,
            Fault::StockListLost,
        ],
    },
    Promise {
        text: "all of the above",
        faults: &[Fault::StockStemBusy],
    },
];

impl Fault {
    /// A few words for the table of faults.
    pub fn name(self) -> &'static str {
        match self {
            Self::BytesLate => "bytes come 0.2 to 3 s late",
            Self::BytesChopped => "bytes come chopped",
            Self::WriteLate => "a program hears late that it has written",
            Self::BufferFull => "a reader is so slow that its sender has to wait",
            Self::LinkReset => "a link is reset",
            Self::LinkStuck => "a link is stuck, for up to 13 s",
            Self::CutOneWay => "nothing gets through in one direction, for up to 26 s",
            Self::CutBothWays => "the same in both directions",
            Self::ControllerKilled => "the controller is killed",
            Self::ControllerUnpowered => "its host has no power, for up to 15 s",
            Self::SaveTorn => "one of these two while it saves",
            Self::SaveLate => "the controller's disk takes 0.2 to 40 s for a save",
            Self::SaveFailed => "it is full or does not sync",
            Self::AgentKilled => "an agent is killed",
            Self::AgentStopped => "it is stopped, for up to 15 s",
            Self::SupervisorKilled => "a supervisor is killed, its nodes with it",
            Self::SupervisorStopped => "it is stopped, for up to 15 s",
            Self::SensorUnpowered => "a sensor's host has no power, for up to 15 s",
            Self::NodeDied => "a node dies",
            Self::NodeStopped => "it is stopped, for up to 30 s",
            Self::NodeStartsLate => "it takes 0.5 to 12 s to get to the network",
            Self::NodeNeverStarts => "it never gets there",
            Self::NodeAnswersLate => "it answers late, by up to 8 s",
            Self::NodeSilent => "it does not answer",
            Self::NodeEndsLate => "told to end, it takes 4 to 24 s",
            Self::NodeIgnoresTerm => "told to end, it does not",
            Self::NodeFloods => "it prints without an end",
            Self::SpawnFailed => "a process cannot be started",
            Self::DirectoryFailed => "a directory cannot be made",
            Self::ClientGone => "a client vanishes",
            Self::WaitingClientGone => "a client vanishes that waits for an answer",
            Self::Rubbish => "a client talks rubbish",
            Self::AskedMeanwhile => "a client asks while it waits for another answer",
            Self::StockOverheard => "a stock agent does what another one is asked, too (D01)",
            Self::StockStandby => "it begins a deployment that nobody finishes (D30)",
            Self::StockIdLost => "its deployment loses its id (D32)",
            Self::StockListLost => "its list of nodes is lost (D33)",
            Self::StockStemBusy => {
                "a stock supervisor waits for a node's end, and does nothing else (D50)"
            }
        }
    }
}
