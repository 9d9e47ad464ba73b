//! What is looked at of a request before a guest gets it.

use http::header;
use http::uri::Authority;
use hyper::Request;
use hyper::body::Incoming;

use crate::excerpt::excerpt_of;

/// Whether there is one authority to tell the guest (RFC 9112, section 3.2).
pub(super) fn names_its_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).is_ok(),
        (None, _) => request.uri().authority().is_some(),
        (Some(_), Some(_)) => false,
    }
}

/// How long the head of a request was, to within a few bytes of white space.
pub(super) fn head_bytes(request: &Request<Incoming>) -> usize {
    /// Of a request line `GET / HTTP/1.1` and of a field `a: b`, beside what they say.
    const LINE: usize = 12;
    const FIELD: usize = 4;
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    request.method().as_str().len() + path + authority + LINE + fields.sum::<usize>()
}

/// A request in a word that is fit to show.
pub(super) fn line(request: &Request<Incoming>) -> String {
    excerpt_of(format_args!("{} {}", request.method(), request.uri()))
}
