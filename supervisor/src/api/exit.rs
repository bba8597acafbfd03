//! `notify_node_exit` with more in it than stock's (API §2.4, §12.3 D52).

use std::time::Duration;

use broker_proto::zeek::{ConvertError, FromData, ToData};
use broker_proto::{Data, Timespan};

use super::NodeOutputs;

/// The second argument of `notify_node_exit`.
///
/// Stock's event comes when a node starts again, and holds only what its former life wrote. Ours
/// comes also when a node ends without having been told to; then four further elements say how. A
/// stock receiver ignores them (API §1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeExit {
    /// The last lines.
    pub outputs: NodeOutputs,
    /// How it ended, if this comes at the end.
    pub end: Option<NodeEnd>,
}

/// How a node ended that nobody had told to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NodeEnd {
    /// Its exit status, if it had one.
    pub status: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// How long it ran; to the microsecond at best.
    pub run_time: Duration,
    /// How often it had been started before.
    pub restarts: u64,
    /// The supervisor leaves it alone now, until it is told to restart it.
    pub is_given_up: bool,
}

impl From<NodeOutputs> for NodeExit {
    /// As stock tells it, at the next start.
    fn from(outputs: NodeOutputs) -> Self {
        let end = None;
        Self { outputs, end }
    }
}

impl FromData for NodeExit {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        let Data::Vector(fields) = &data else {
            return Err(ConvertError::wrong_type("record NodeOutputs", &data));
        };
        let end = end(fields);
        let outputs = NodeOutputs::from_data(data)?;
        Ok(Self { outputs, end })
    }
}

/// Elements of another type are somebody else's addition to the record.
fn end(fields: &[Data]) -> Option<NodeEnd> {
    let [
        _,
        _,
        status,
        signal,
        Data::Timespan(run_time),
        Data::Count(restarts),
        further @ ..,
    ] = fields
    else {
        return None;
    };
    let number = |data: &Data| {
        let Data::Integer(number) = data else {
            return None;
        };
        i32::try_from(*number).ok()
    };
    let nanos = u64::try_from(run_time.0).unwrap_or(0);
    Some(NodeEnd {
        status: number(status),
        signal: number(signal),
        run_time: Duration::from_nanos(nanos),
        restarts: *restarts,
        is_given_up: matches!(further, [Data::Boolean(true), ..]),
    })
}

impl ToData for NodeExit {
    fn into_data(self) -> Data {
        let NodeOutputs { stdout, stderr } = self.outputs;
        let mut fields = vec![Data::String(stdout), Data::String(stderr)];
        if let Some(end) = self.end {
            let number = |number: Option<i32>| number.map(i64::from).into_data();
            let nanos = i64::try_from(end.run_time.as_nanos()).unwrap_or(i64::MAX);
            fields.extend([
                number(end.status),
                number(end.signal),
                Data::Timespan(Timespan(nanos)),
                Data::Count(end.restarts),
            ]);
            if end.is_given_up {
                fields.push(Data::Boolean(true));
            }
        }
        Data::Vector(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs() -> NodeOutputs {
        NodeOutputs {
            stdout: "a".into(),
            stderr: "b".into(),
        }
    }

    fn two() -> Vec<Data> {
        vec![Data::string("a"), Data::string("b")]
    }

    #[test]
    fn without_an_end_it_is_stocks_record() {
        let exit = NodeExit::from(outputs());
        assert_eq!(exit.clone().into_data(), Data::Vector(two()));
        assert_eq!(NodeExit::from_data(Data::Vector(two())), Ok(exit));
    }

    #[test]
    fn an_end_follows_stocks_fields() {
        let end = NodeEnd {
            status: None,
            signal: Some(9),
            run_time: Duration::from_millis(1500),
            restarts: 3,
            is_given_up: false,
        };
        let mut fields = two();
        fields.extend([
            Data::None,
            Data::Integer(9),
            Data::Timespan(Timespan(1_500_000_000)),
            Data::Count(3),
        ]);
        let exit = |is_given_up| NodeExit {
            outputs: outputs(),
            end: Some(NodeEnd { is_given_up, ..end }),
        };
        assert_eq!(exit(false).into_data(), Data::Vector(fields.clone()));
        assert_eq!(
            NodeExit::from_data(Data::Vector(fields.clone())),
            Ok(exit(false))
        );
        fields.push(Data::Boolean(true));
        assert_eq!(exit(true).into_data(), Data::Vector(fields.clone()));
        assert_eq!(NodeExit::from_data(Data::Vector(fields)), Ok(exit(true)));
    }

    #[test]
    fn a_field_that_somebody_else_added_is_no_end() {
        let mut fields = two();
        fields.push(Data::Count(1));
        let exit = NodeExit::from_data(Data::Vector(fields));
        assert_eq!(exit, Ok(NodeExit::from(outputs())));
        assert!(NodeExit::from_data(Data::Vector(vec![Data::Count(1)])).is_err());
    }
}
