//! What a controller keeps, as the rows that a stock one writes and reads (API §4.9 P2).

use broker_proto::Data;
use broker_proto::codec::{DecodeError, Limits, data};
use broker_proto::zeek::{ConvertError, FromData, ToData};
use broker_proto::zeek_enum;

use super::Saved;
use crate::model::{Configuration, NODE_FIELDS};

/// Largest configuration that is stored or taken over, in bytes as Broker encodes it: as much as a
/// peer may send.
pub const MAX_VALUE: usize = 64 << 20;

zeek_enum! {
    /// Which configuration a row holds.
    pub enum ConfigState("Management::Controller::Runtime::") {
        /// As the client sent it.
        Staged = "STAGED",
        /// The same with hosts and ports.
        Ready = "READY",
        /// What runs.
        Deployed = "DEPLOYED",
    }
}

/// One row of the table `store`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// A [`ConfigState`] as Broker encodes it.
    pub key: Vec<u8>,
    /// A [`Configuration`] as Broker encodes it.
    pub value: Vec<u8>,
}

/// What becomes of a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slot {
    /// As in [`Row`].
    pub key: Vec<u8>,
    /// As in [`Row`]; `None` if there must be no such row.
    pub value: Option<Vec<u8>>,
}

/// In which layout nodes were stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layout {
    /// That of Zeek 7.0 and later, or there are no nodes.
    Current,
    /// With fewer fields. Zeek 7.0 and later discards such rows (API §12.1 D25); what is missing is
    /// optional.
    Older,
}

/// Why rows are not those of a controller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RowError {
    /// A key is no Broker value.
    #[error("a key does not read")]
    Key(#[source] DecodeError),
    /// A key is another value.
    #[error("a key is not one of a controller")]
    NotAState(#[source] ConvertError),
    /// Two keys mean the same.
    #[error("{} is there twice", .0.zeek_name())]
    Twice(ConfigState),
    /// The value is no Broker value.
    #[error("the value of {} does not read", .0.zeek_name())]
    Value(ConfigState, #[source] DecodeError),
    /// The value is no configuration.
    #[error("the value of {} is no configuration", .0.zeek_name())]
    NotAConfiguration(ConfigState, #[source] ConvertError),
}

/// A configuration could not be read again if it was stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the configuration is too large to be kept")]
pub struct TooLarge;

impl Saved {
    /// From rows in any order.
    ///
    /// # Errors
    /// If a row is not one that a controller writes.
    pub fn from_rows(rows: impl IntoIterator<Item = Row>) -> Result<(Self, Layout), RowError> {
        let mut saved = Self::default();
        let mut layout = Layout::Current;
        for row in rows {
            let key = data::decode(&row.key, &Limits::default()).map_err(RowError::Key)?;
            let state = ConfigState::from_data(key).map_err(RowError::NotAState)?;
            let value = data::decode(&row.value, &Limits::default());
            let value = value.map_err(|error| RowError::Value(state, error))?;
            if has_short_nodes(&value) {
                layout = Layout::Older;
            }
            let config = Configuration::from_data(value);
            let config = config.map_err(|error| RowError::NotAConfiguration(state, error))?;
            if saved.config_mut(state).replace(config).is_some() {
                return Err(RowError::Twice(state));
            }
        }
        Ok((saved, layout))
    }

    /// As rows, one slot for each key there is.
    ///
    /// # Errors
    /// If [`Self::from_rows`] or the store could not read a row again.
    pub fn to_rows(&self) -> Result<[Slot; 3], TooLarge> {
        let row = |state: ConfigState, config: &Option<Configuration>| {
            let key = data::encode(&state.into_data()).to_vec();
            let Some(config) = config.clone() else {
                return Ok(Slot { key, value: None });
            };
            let value = data::encode(&config.into_data());
            let is_readable = data::check(&value, &Limits::default()).is_ok();
            if value.len() > MAX_VALUE || !is_readable {
                return Err(TooLarge);
            }
            let value = Some(value.to_vec());
            Ok(Slot { key, value })
        };
        Ok([
            row(ConfigState::Staged, &self.staged)?,
            row(ConfigState::Ready, &self.ready)?,
            row(ConfigState::Deployed, &self.deployed)?,
        ])
    }

    fn config_mut(&mut self, state: ConfigState) -> &mut Option<Configuration> {
        match state {
            ConfigState::Staged => &mut self.staged,
            ConfigState::Ready => &mut self.ready,
            ConfigState::Deployed => &mut self.deployed,
        }
    }
}

fn has_short_nodes(config: &Data) -> bool {
    let Data::Vector(fields) = config else {
        return false;
    };
    let Some(Data::Set(nodes)) = fields.get(2) else {
        return false;
    };
    let is_short = |node: &Data| matches!(node, Data::Vector(node) if node.len() < NODE_FIELDS);
    nodes.iter().any(is_short)
}

#[cfg(test)]
mod tests;
