//! Values of Zeek's type `any`, read only where somebody knows what they are.

use std::cmp::Ordering;

use crate::codec::view::View;
use crate::data::Data;
use crate::zeek::record::{ConvertError, FromData, ToData};

/// A value of whatever type, as it is or as its bytes.
///
/// Values that wait for something had better wait as bytes: the records of a list take five times
/// the memory otherwise, scattered. Which of both it is makes no difference to comparisons.
#[derive(Clone, Debug)]
pub enum Any {
    /// The value.
    Data(Data),
    /// Its bytes.
    Packed(View),
}

impl Any {
    /// The bytes of this value.
    pub fn packed(value: impl ToData) -> Self {
        let mut out = Vec::with_capacity(MOSTLY);
        value.put(&mut out);
        Self::Packed(View::of_encoded(out.into_boxed_slice().into()))
    }

    /// The value, of the type that it has to have.
    ///
    /// # Errors
    /// If it has another.
    pub fn read<T: FromData>(self) -> Result<T, ConvertError> {
        T::from_data(self.into_data())
    }

    /// A copy of the value.
    pub fn to_data(&self) -> Data {
        match self {
            Self::Data(data) => data.clone(),
            Self::Packed(view) => view.to_data(),
        }
    }
}

/// Longer than most values, in bytes: growing step by step is slow.
const MOSTLY: usize = 1024;

impl From<Data> for Any {
    fn from(data: Data) -> Self {
        Self::Data(data)
    }
}

impl FromData for Any {
    fn from_data(data: Data) -> Result<Self, ConvertError> {
        Ok(Self::Data(data))
    }
}

impl ToData for Any {
    fn into_data(self) -> Data {
        match self {
            Self::Data(data) => data,
            Self::Packed(view) => view.to_data(),
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => data.put(out),
            Self::Packed(view) => out.extend_from_slice(view.bytes()),
        }
    }
}

impl Ord for Any {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Data(a), Self::Data(b)) => a.cmp(b),
            (a, b) => a.to_data().cmp(&b.to_data()),
        }
    }
}

impl PartialOrd for Any {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Any {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Any {}
