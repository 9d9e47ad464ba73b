//! What is told to whoever may know it, and to no log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A key in 64 hexadecimal digits, as it travels. It is not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyText(pub String);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

#[cfg(test)]
mod tests {
    use crate::{Results, SealedObject, TaskRequest};

    use super::*;

    #[test]
    fn keys_travel_and_are_not_shown() {
        let key = "0a".repeat(32);
        let request = TaskRequest {
            object_key: Some(KeyText(key.clone())),
            ..TaskRequest::default()
        };
        let results = Results {
            stdout_object: Some(SealedObject {
                digest: "d".to_owned(),
                length: 1,
                key: KeyText(key.clone()),
            }),
            ..Results::default()
        };
        let shown = format!("{request:?} {results:?}");
        assert!(!shown.contains(&key), "{shown}");
        assert!(shown.contains("KeyText(..)"), "{shown}");
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(json["object_key"], key);
        assert_eq!(
            serde_json::from_value::<TaskRequest>(json).unwrap(),
            request
        );
        let json = serde_json::to_value(&results).unwrap();
        assert_eq!(json["stdout_object"]["key"], key);
    }
}
