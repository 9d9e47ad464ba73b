//! How often a broker may be asked: token buckets, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// What may be asked at once, in seconds of the rate.
const BURST_SECS: u32 = 4;
/// Most callers that are told apart. Those beyond share one bucket while there are as many.
const BUCKETS_MAX: usize = 8192;

/// What one caller may still ask.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    since: Instant,
}

/// Buckets of one kind of caller.
#[derive(Debug)]
pub(crate) struct Limits<K> {
    per_sec: f64,
    buckets: HashMap<K, Bucket>,
    shared: Option<Bucket>,
}

impl<K: Eq + Hash> Limits<K> {
    pub(crate) fn new(per_sec: u32) -> Self {
        Self {
            per_sec: f64::from(per_sec),
            buckets: HashMap::new(),
            shared: None,
        }
    }

    /// Takes one request from a caller's bucket.
    ///
    /// # Errors
    /// With how long to wait, if there is none left.
    pub(crate) fn take(&mut self, caller: K, now: Instant) -> Result<(), Duration> {
        let (per_sec, full) = (self.per_sec, self.full());
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&caller) {
            // Whoever has not asked for a while has a full bucket, as if he had never been here.
            self.buckets
                .retain(|_, bucket| bucket.filled(per_sec, full, now) < full);
        }
        let fresh = || Bucket {
            left: full,
            since: now,
        };
        let bucket = match self.buckets.len() < BUCKETS_MAX || self.buckets.contains_key(&caller) {
            true => self.buckets.entry(caller).or_insert_with(fresh),
            false => self.shared.get_or_insert_with(fresh),
        };
        let left = bucket.filled(per_sec, full, now);
        let (spent, enough) = if left < 1.0 {
            (0.0, false)
        } else {
            (1.0, true)
        };
        *bucket = Bucket {
            left: left - spent,
            since: now,
        };
        match enough {
            true => Ok(()),
            false => Err(Duration::from_secs_f64((1.0 - left) / per_sec)),
        }
    }

    fn full(&self) -> f64 {
        self.per_sec * f64::from(BURST_SECS)
    }
}

impl Bucket {
    fn filled(self, per_sec: f64, full: f64, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        full.min(self.left + passed * per_sec)
    }
}

/// Who somebody is by his address: of IPv6, the network, as its hosts have many addresses each.
pub(crate) fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_emptied_at_once_and_fills_slowly() {
        let (mut limits, now) = (Limits::new(2), Instant::now());
        let allowed = (0..20).filter(|_| limits.take("a", now).is_ok()).count();
        assert_eq!(allowed, 8);
        let wait = limits.take("a", now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        // Somebody else's is another one, and waiting as told is enough.
        assert!(limits.take("b", now).is_ok());
        assert!(limits.take("a", now + wait).is_ok());
    }

    #[test]
    fn crowds_take_no_more_memory_and_get_no_more_each() {
        let (mut limits, now) = (Limits::new(1), Instant::now());
        let allowed = |limits: &mut Limits<usize>, callers: std::ops::Range<usize>, now| {
            callers
                .filter(|caller| limits.take(*caller, now).is_ok())
                .count()
        };
        assert_eq!(allowed(&mut limits, 0..BUCKETS_MAX, now), BUCKETS_MAX);
        // They share one bucket.
        let crowd = BUCKETS_MAX..3 * BUCKETS_MAX;
        assert_eq!(allowed(&mut limits, crowd.clone(), now), 4);
        assert!(limits.buckets.len() <= BUCKETS_MAX);
        // And have their own as soon as the others are idle.
        let later = now + Duration::from_secs(10);
        assert!(allowed(&mut limits, crowd, later) > BUCKETS_MAX);
    }

    #[test]
    fn hosts_of_one_network_of_ipv6_are_one_caller() {
        let peer_of = |text: &str| peer(text.parse().unwrap()).to_string();
        assert_eq!(peer_of("2001:db8::1"), peer_of("2001:db8::ffff:2"));
        assert_ne!(peer_of("2001:db8:0:1::1"), peer_of("2001:db8::1"));
        assert_eq!(peer_of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
