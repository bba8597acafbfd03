//! [`NodeConfig`] as the versions of Zeek lay it out: records travel by position, and positions
//! differ (API §1.5).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use broker_proto::codec::data::{encode_into, pieces};
use broker_proto::zeek::{ConvertError, FromData, ToData, record::field};
use broker_proto::{Data, Port};

use super::{Cluster, ClusterEndpoint, NodeConfig};

/// A layout, named after the first version of Zeek that has it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Layout {
    /// 4.0.
    V4_0,
    /// 4.1 to 5.0: `bare_mode`, `env`.
    V4_1,
    /// 5.1 and 5.2: `addl_base_scripts`, `addl_user_scripts`.
    V5_1,
    /// 6.0: `pcap_file`.
    V6_0,
    /// 6.1 and 6.2: no `scripts`.
    V6_1,
    /// 7.0 and later: `metrics_port` of endpoints, ports with a protocol.
    #[default]
    V7_0,
}

/// A field of the record, under the name it has in Zeek.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Name,
    Interface,
    PcapFile,
    Directory,
    StdoutFile,
    StderrFile,
    BareMode,
    AddlBaseScripts,
    AddlUserScripts,
    Scripts,
    Env,
    CpuAffinity,
    Cluster,
}

impl Layout {
    /// The layout of a version of Zeek, such as `6.0` or `8.0.10`; `None` before 4.0, or if it is
    /// none.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        let mut parts = version.split('.').map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        let minor = parts.next().unwrap_or(Ok(0)).ok()?;
        let layouts = [
            ((7, 0), Self::V7_0),
            ((6, 1), Self::V6_1),
            ((6, 0), Self::V6_0),
            ((5, 1), Self::V5_1),
            ((4, 1), Self::V4_1),
            ((4, 0), Self::V4_0),
        ];
        let found = layouts.iter().find(|(since, _)| (major, minor) >= *since);
        found.map(|(_, layout)| *layout)
    }

    /// Which layout a peer's record has. `None` if it is none, or does not say: the last two differ
    /// in the cluster's members only.
    #[must_use]
    pub fn seen_in(config: &Data) -> Option<Self> {
        let Data::Vector(values) = config else {
            return None;
        };
        let layout = Self::of_shape(values.len(), values);
        if layout < Self::V6_1 {
            return Some(layout);
        }
        let Some(Data::Table(cluster)) = values.get(11) else {
            return None;
        };
        let (_, endpoint) = cluster.into_iter().next()?;
        let Data::Vector(endpoint) = endpoint else {
            return None;
        };
        Some(match endpoint.len() {
            ..=5 => Self::V6_1,
            _ => Self::V7_0,
        })
    }

    /// Which layout the records in a supervisor's status have. `None` if it lists no node. The last
    /// two are not told apart for nodes outside clusters; the younger can be read by both.
    #[must_use]
    pub fn seen_in_status(status: &Data) -> Option<Self> {
        let Data::Vector(fields) = status else {
            return None;
        };
        let Some(Data::Table(nodes)) = fields.first() else {
            return None;
        };
        let (_, Data::Vector(node)) = nodes.into_iter().next()? else {
            return None;
        };
        let config = node.first()?;
        let is_record = matches!(config, Data::Vector(_));
        let seen = || Self::seen_in(config).unwrap_or_default();
        is_record.then(seen)
    }

    /// Whether configurations have the member `scripts`, and stems insist on it.
    pub(crate) fn has_scripts(self) -> bool {
        self.fields().contains(&Field::Scripts)
    }

    /// Whether stems know the two lists that took the place of `scripts`.
    pub(crate) fn has_addl_scripts(self) -> bool {
        self.fields().contains(&Field::AddlUserScripts)
    }

    /// The layouts differ in length but for two. Of these the older has a list where the younger
    /// has a flag. A list in place of `env` tells 6.0 from what may come after 9.0. The last value
    /// need not be there.
    fn of_shape(fields: usize, values: &[Data]) -> Self {
        match fields {
            ..=9 => Self::V4_0,
            10 | 11 => Self::V4_1,
            12 if matches!(values.get(6), Some(Data::Vector(_))) => Self::V5_1,
            13 if matches!(values.get(9), Some(Data::Vector(_))) => Self::V6_0,
            _ => Self::V7_0,
        }
    }

    fn fields(self) -> Vec<Field> {
        let mut fields = vec![Field::Name, Field::Interface];
        if self >= Self::V6_0 {
            fields.push(Field::PcapFile);
        }
        fields.extend([Field::Directory, Field::StdoutFile, Field::StderrFile]);
        if self >= Self::V4_1 {
            fields.push(Field::BareMode);
        }
        if self >= Self::V5_1 {
            fields.extend([Field::AddlBaseScripts, Field::AddlUserScripts]);
        }
        if self <= Self::V6_0 {
            fields.push(Field::Scripts);
        }
        if self >= Self::V4_1 {
            fields.push(Field::Env);
        }
        fields.extend([Field::CpuAffinity, Field::Cluster]);
        fields
    }
}

impl FromData for NodeConfig {
    /// Reads any of the layouts.
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        let Data::Vector(values) = data else {
            return Err(ConvertError::wrong_type(
                "record Supervisor::NodeConfig",
                &data,
            ));
        };
        let layout = Layout::of_shape(values.len(), &values);
        let mut config = Self::empty(layout);
        let mut values = values.into_iter();
        for field in layout.fields() {
            let read = config.read(field, values.next());
            read.map_err(|error| error.within(format!("Supervisor::NodeConfig, {field:?}")))?;
        }
        Ok(config)
    }
}

impl ToData for NodeConfig {
    /// The youngest layout.
    fn into_data(self) -> Data {
        self.into_data_as(Layout::default())
    }
}

impl NodeConfig {
    /// The record as a peer of this layout reads it.
    #[must_use]
    pub fn into_data_as(self, layout: Layout) -> Data {
        let fields = layout.fields().into_iter();
        Data::Vector(fields.map(|field| self.value(field, layout)).collect())
    }

    /// Appends the same, encoded, with its cluster's layout as it is encoded already.
    pub(super) fn put(&self, layout: Layout, cluster: &[u8], out: &mut Vec<u8>) {
        let fields = layout.fields();
        pieces::put_vector(fields.len(), out);
        for field in fields {
            if field == Field::Cluster {
                out.extend_from_slice(cluster);
            } else {
                encode_into(&self.value(field, layout), out);
            }
        }
    }

    /// Of all values but the last, which is the cluster's layout. `None` if that is not how a
    /// record of any layout ends.
    pub(super) fn of_values(values: Vec<Data>, cluster: &Cluster) -> Option<Self> {
        let count = values.len() + 1;
        let layout = Layout::of_shape(count, &values);
        let fields = layout.fields();
        if fields.len() != count {
            return None;
        }
        let mut config = Self::empty(layout);
        for (field, value) in fields.into_iter().zip(values) {
            config.read(field, Some(value)).ok()?;
        }
        config.cluster = cluster.clone();
        Some(config)
    }

    /// One to be filled from a record of this layout.
    fn empty(layout: Layout) -> Self {
        let scripts = layout.has_scripts().then(Vec::new);
        Self {
            scripts,
            ..Self::named("")
        }
    }

    fn read(&mut self, name: Field, value: Option<Data>) -> Result<(), ConvertError> {
        match name {
            Field::Name => self.name = mandatory(value)?,
            Field::Interface => self.interface = mandatory(value)?,
            Field::PcapFile => self.pcap_file = mandatory(value)?,
            Field::Directory => self.directory = mandatory(value)?,
            Field::StdoutFile => self.stdout_file = mandatory(value)?,
            Field::StderrFile => self.stderr_file = mandatory(value)?,
            Field::BareMode => self.bare_mode = mandatory(value)?,
            Field::AddlBaseScripts => self.addl_base_scripts = field(value, Some(Vec::new))?,
            Field::AddlUserScripts => self.addl_user_scripts = field(value, Some(Vec::new))?,
            Field::Scripts => self.scripts = Some(field(value, Some(Vec::new))?),
            Field::Env => self.env = field(value, Some(BTreeMap::new))?,
            Field::CpuAffinity => self.cpu_affinity = mandatory(value)?,
            Field::Cluster => self.cluster = field(value, Some(Cluster::default))?,
        }
        Ok(())
    }

    fn value(&self, name: Field, layout: Layout) -> Data {
        match name {
            Field::Name => self.name.clone().into_data(),
            Field::Interface => self.interface.clone().into_data(),
            Field::PcapFile => self.pcap_file.clone().into_data(),
            Field::Directory => self.directory.clone().into_data(),
            Field::StdoutFile => self.stdout_file.clone().into_data(),
            Field::StderrFile => self.stderr_file.clone().into_data(),
            Field::BareMode => self.bare_mode.into_data(),
            Field::AddlBaseScripts => self.addl_base_scripts.clone().into_data(),
            Field::AddlUserScripts => self.addl_user_scripts.clone().into_data(),
            Field::Scripts => self.scripts_as(layout).into_data(),
            Field::Env => self.env.clone().into_data(),
            Field::CpuAffinity => self.cpu_affinity.into_data(),
            Field::Cluster => self.cluster.to_data_as(layout),
        }
    }
}

impl NodeConfig {
    /// Before 5.1 there is but one list of scripts (API §1.5).
    fn scripts_as(&self, layout: Layout) -> Vec<String> {
        let mut scripts = Vec::new();
        if !layout.has_addl_scripts() {
            scripts.extend_from_slice(&self.addl_base_scripts);
            scripts.extend_from_slice(&self.addl_user_scripts);
        }
        scripts.extend(self.scripts.iter().flatten().cloned());
        scripts
    }
}

impl ClusterEndpoint {
    pub(super) fn into_data_as(self, layout: Layout) -> Data {
        // Before 7.0 only the number survived (API §1.5).
        let p = if layout < Layout::V7_0 {
            Port::tcp(self.p.number)
        } else {
            self.p
        };
        let mut fields = vec![
            self.role.into_data(),
            self.host.into_data(),
            p.into_data(),
            self.interface.into_data(),
        ];
        if layout >= Layout::V6_0 {
            fields.push(self.pcap_file.into_data());
        }
        if layout >= Layout::V7_0 {
            fields.push(self.metrics_port.into_data());
        }
        Data::Vector(fields)
    }
}

fn mandatory<T: FromData>(value: Option<Data>) -> Result<T, ConvertError> {
    field(value, None::<fn() -> T>)
}
