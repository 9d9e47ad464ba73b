//! Places for the guests of requests, which all services of a proplet share.

use std::sync::Arc;

use propeller_sandbox::{Allocator, EngineConfig};

use super::client::{self, get};
use super::{begin, free, service};
use crate::support::{CONFIG, until};

#[tokio::test]
async fn a_service_begins_while_all_places_for_requests_are_taken() {
    /// Of one service, and services that have all places together.
    const GUESTS: usize = 16;
    const SERVICES: usize = 4;
    for allocator in [Allocator::OnDemand, Allocator::Pooling { guests_max: 8 }] {
        let runtime = crate::runtime::with(EngineConfig {
            allocator,
            ..CONFIG
        });
        let runtime = Arc::new(runtime);
        let mut running = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..SERVICES {
            let (address, service) = begin(&runtime, service(free())).await;
            running.push(service);
            for _ in 0..GUESTS {
                // It never sends the body, of which its guest gives back what it has.
                let head = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
                clients.push(client::begin(address, head).await);
            }
        }
        until(|| runtime.running() == SERVICES * GUESTS).await;
        let (address, mut fifth) = begin(&runtime, service(free())).await;
        // It serves as soon as there is a place.
        clients.pop();
        assert_eq!(get(address, "/count").await.text(), "1\n");
        assert!(fifth.try_join_next().is_none());
    }
}
