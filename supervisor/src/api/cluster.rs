//! The layout of a cluster, which all its nodes have in common.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use broker_proto::Data;
use broker_proto::zeek::{ConvertError, FromData, ToData};

use super::{ClusterEndpoint, Layout};

/// The members of a cluster by node name; none for a process outside a cluster.
///
/// Every node is given the whole of it, so that of n nodes there are n² members. Clones are one
/// table until one of them is changed, and so are tables that are [told](Self::unify) to be equal.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cluster(Arc<BTreeMap<String, ClusterEndpoint>>);

impl Cluster {
    /// Uses the memory of another table if that is equal; returns whether it is.
    pub fn unify(&mut self, other: &Self) -> bool {
        let is_equal = self == other;
        if is_equal {
            self.clone_from(other);
        }
        is_equal
    }

    /// Whether both are the same table in memory.
    #[must_use]
    pub fn is_one_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Cluster {
    pub(super) fn to_data_as(&self, layout: Layout) -> Data {
        let members = self.iter().map(|(name, endpoint)| {
            let endpoint = endpoint.clone().into_data_as(layout);
            (Data::string(name.as_str()), endpoint)
        });
        Data::Table(members.collect())
    }
}

impl FromData for Cluster {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        BTreeMap::from_data(data).map(Self::from)
    }
}

impl ToData for Cluster {
    fn into_data(self) -> Data {
        self.to_data_as(Layout::default())
    }
}

impl Deref for Cluster {
    type Target = BTreeMap<String, ClusterEndpoint>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Cluster {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl From<BTreeMap<String, ClusterEndpoint>> for Cluster {
    fn from(members: BTreeMap<String, ClusterEndpoint>) -> Self {
        Self(Arc::new(members))
    }
}

impl<const N: usize> From<[(String, ClusterEndpoint); N]> for Cluster {
    fn from(members: [(String, ClusterEndpoint); N]) -> Self {
        BTreeMap::from(members).into()
    }
}
