//! Which addresses a guest may connect to, decided when it connects.
//!
//! A name is looked up here and the connection goes to the address that was looked at, so that a
//! name that means something else a moment later gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::capabilities::{Capabilities, ReachableHost};

/// How long the name of a host may take to be looked up.
const LOOKUP_MAX: Duration = Duration::from_secs(10);

/// What one guest may reach. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Reach {
    hosts: Arc<[ReachableHost]>,
    listen: Arc<[SocketAddr]>,
}

impl Reach {
    pub(in crate::engine) fn of(capabilities: &Capabilities) -> Self {
        Self {
            hosts: shared(&capabilities.hosts),
            listen: shared(&capabilities.listen),
        }
    }

    /// Whether the guest may listen here.
    pub(super) fn may_listen(&self, address: SocketAddr) -> bool {
        self.listen.contains(&address)
    }

    /// Whether the guest may look up this name.
    pub(super) fn may_look_up(&self, name: &str) -> bool {
        self.hosts.iter().any(|one| same_name(&one.host.name, name))
    }

    /// Whether the guest may connect to this address: one of its hosts is there.
    pub(super) async fn may_connect(&self, address: SocketAddr) -> bool {
        for one in self
            .hosts
            .iter()
            .filter(|one| one.host.port == address.port())
        {
            if addresses(one).await.contains(&address) {
                return true;
            }
        }
        false
    }

    /// The addresses of a host by name, if the guest may connect there.
    pub(super) async fn resolve(&self, name: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let mut hosts = self.hosts.iter();
        let one = hosts.find(|one| one.host.port == port && same_name(&one.host.name, name))?;
        Some(addresses(one).await)
    }
}

/// For most guests, who may reach nothing, there is nothing to allocate.
fn shared<T: Clone>(list: &[T]) -> Arc<[T]> {
    match list {
        [] => Arc::default(),
        list => list.into(),
    }
}

fn same_name(allowed: &str, asked: &str) -> bool {
    allowed.eq_ignore_ascii_case(asked.trim_matches(['[', ']']))
}

/// Where a host is, as far as a guest may know.
async fn addresses(one: &ReachableHost) -> Vec<SocketAddr> {
    let port = one.host.port;
    if let Ok(address) = one.host.name.parse::<IpAddr>() {
        // The policy names this very address.
        return vec![SocketAddr::new(address, port)];
    }
    let lookup = tokio::net::lookup_host((one.host.name.as_str(), port));
    let Ok(Ok(found)) = tokio::time::timeout(LOOKUP_MAX, lookup).await else {
        return Vec::new();
    };
    let canonical = found.map(|found| SocketAddr::new(found.ip().to_canonical(), port));
    canonical
        .filter(|found| one.private || is_public(found.ip()))
        .collect()
}

/// Whether an address belongs to the public internet. What is not sure is not public.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// RFC 6890 and its updates.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let assigned = (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
    !(a == 0
        || a >= 240
        || shared
        || assigned
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

/// Global unicast is 2000::/3; what carries an IPv4 address in it counts as that address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
        // Teredo, documentation and benchmarks.
        [0x2001, 0 | 0xdb8 | 2, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str, private: bool) -> ReachableHost {
        ReachableHost {
            host: text.parse().expect("it is a host"),
            private,
        }
    }

    fn reach(hosts: &[ReachableHost]) -> Reach {
        Reach::of(&Capabilities {
            hosts: hosts.to_vec(),
            ..Capabilities::default()
        })
    }

    #[test]
    fn addresses_of_the_inside_are_not_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(inside.parse().expect("an address")), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700:4700::1111",
            "2002:101:101::",
        ] {
            assert!(is_public(outside.parse().expect("an address")), "{outside}");
        }
    }

    #[tokio::test]
    async fn a_name_that_means_the_inside_is_reached_only_where_the_policy_says_so() {
        let here: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        assert!(
            !reach(&[host("localhost:80", false)])
                .may_connect(here)
                .await
        );
        assert!(reach(&[host("localhost:80", true)]).may_connect(here).await);
        assert!(
            reach(&[host("127.0.0.1:80", false)])
                .may_connect(here)
                .await
        );
        assert!(
            !reach(&[host("127.0.0.1:81", false)])
                .may_connect(here)
                .await
        );
        assert!(!reach(&[]).may_connect(here).await);
    }

    #[tokio::test]
    async fn only_the_hosts_of_the_job_have_addresses() {
        let reach = reach(&[host("localhost:80", true)]);
        assert!(reach.may_look_up("LOCALHOST") && !reach.may_look_up("example.com"));
        assert!(reach.resolve("localhost", 80).await.is_some());
        assert!(reach.resolve("localhost", 81).await.is_none());
        assert!(reach.resolve("example.com", 80).await.is_none());
    }
}
