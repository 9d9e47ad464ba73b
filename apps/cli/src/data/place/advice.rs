//! What to do about a store that says no.

use std::io;

use crate::data::failure::{CREDENTIALS, chain};

/// What the client of stores says about an address without TLS.
const PLAIN_HTTP: &str = "URL scheme is not allowed";
/// What it says of an answer, before its number. Only of some requests it has errors for these.
const STATUS: &str = "status code: ";

/// What a store said no to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum No {
    Missing,
    Forbidden,
    PlainHttp,
}

/// What to do about it, if a store said it, and if that tells more than that a place is missing.
pub(crate) fn advice(error: &io::Error) -> Option<&'static str> {
    let said: &object_store::Error = error.get_ref()?.downcast_ref()?;
    Some(match no(said)? {
        No::Missing => {
            "a bucket or container is not made by the way: check its name and its region or \
             --endpoint, or make it"
        }
        No::Forbidden => CREDENTIALS,
        No::PlainHttp => {
            "the store's address begins with http://: use https://, or allow it with --allow-http"
        }
    })
}

fn no(said: &object_store::Error) -> Option<No> {
    match said {
        object_store::Error::NotFound { .. } => return Some(No::Missing),
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => return Some(No::Forbidden),
        _ => {}
    }
    let mut causes = chain(said);
    causes.push(said.to_string());
    let is_plain = causes.iter().any(|cause| cause.contains(PLAIN_HTTP));
    let mut answers = causes.iter().filter_map(|cause| cause.split_once(STATUS));
    match answers.next().and_then(|(_, answer)| answer.get(..3)) {
        Some("404") => Some(No::Missing),
        Some("401" | "403") => Some(No::Forbidden),
        _ => is_plain.then_some(No::PlainHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::io_error;
    use super::*;

    fn advised(said: object_store::Error) -> Option<&'static str> {
        advice(&io_error(said))
    }

    #[test]
    fn a_store_that_says_why_is_told_what_to_do() {
        let path = "x".to_owned();
        let generic = |source: &str| object_store::Error::Generic {
            store: "S3",
            source: source.into(),
        };
        let missing = object_store::Error::NotFound {
            path: path.clone(),
            source: "nothing".into(),
        };
        let listed = generic("Server returned non-2xx status code: 404 Not Found: <Error>");
        for said in [missing, listed] {
            assert!(advised(said).is_some_and(|hint| hint.contains("check its name")));
        }
        let refused = object_store::Error::PermissionDenied {
            path,
            source: "nothing".into(),
        };
        for said in [refused, generic("Server returned non-2xx status code: 403")] {
            assert_eq!(advised(said), Some(CREDENTIALS));
        }
        let plain = advised(generic("builder error: URL scheme is not allowed"));
        assert!(plain.is_some_and(|hint| hint.contains("--allow-http")));
        assert_eq!(advised(generic("connection refused")), None);
        assert_eq!(advice(&io::ErrorKind::NotFound.into()), None);
    }
}
