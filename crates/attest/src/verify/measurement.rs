//! Measurements: hashes that hardware took of what runs, and which of them are approved.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A measurement of `N` bytes; as text it is hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measurement<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Measurement<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl<const N: usize> fmt::Debug for Measurement<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a measurement of the length that belongs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a measurement: write its {bytes} bytes as {} hexadecimal digits", bytes * 2)]
pub struct NoMeasurement {
    /// How many bytes it must have.
    bytes: usize,
}

impl<const N: usize> FromStr for Measurement<N> {
    type Err = NoMeasurement;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(NoMeasurement { bytes: N })
    }
}

impl<const N: usize> Serialize for Measurement<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Measurement<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Which values a policy approves of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approved<T> {
    /// All: the policy says nothing about what is measured there.
    Any,
    /// These. With none of them, nothing is approved.
    OneOf(BTreeSet<T>),
}

impl<T: Ord> Approved<T> {
    pub(super) fn contains(&self, value: &T) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(values) => values.contains(value),
        }
    }

    /// Whether the policy says which.
    pub(super) fn is_pinned(&self) -> bool {
        matches!(self, Self::OneOf(_))
    }
}

impl<T: Ord> FromIterator<T> for Approved<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::OneOf(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_hexadecimal_of_its_length() {
        let text = "00ff".repeat(16);
        let measurement: Measurement<32> = text.to_uppercase().parse().unwrap();
        assert_eq!(measurement.to_string(), text);
        assert_eq!(serde_json::to_value(measurement).unwrap(), text);
        let no = |text: &str| text.parse::<Measurement<48>>().unwrap_err().to_string();
        let why = "not a measurement: write its 48 bytes as 96 hexadecimal digits";
        assert_eq!(no(&text), why);
        assert_eq!(no(&"zz".repeat(48)), why);
        assert_eq!(no(""), why);
    }

    #[test]
    fn an_empty_list_approves_of_nothing() {
        let nothing: Approved<u8> = [].into_iter().collect();
        assert!(!nothing.contains(&0));
        assert!(Approved::Any.contains(&0));
    }
}
