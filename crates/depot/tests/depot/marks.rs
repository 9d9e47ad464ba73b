//! Which depot it is.

use std::fs;

use propeller_depot::{Claim, Depot, Mark, OpenError};

use crate::server::Vendor;
use crate::store::Store;
use crate::support::Desk;

async fn are_agreed_upon(depot: &Depot) {
    let unclaimed = depot.mark().await.unwrap_err();
    assert!(
        matches!(unclaimed, OpenError::Unclaimed { .. }),
        "{unclaimed}"
    );
    let (one, other) = tokio::join!(depot.claim(), depot.claim());
    let (one, other) = (one.unwrap(), other.unwrap());
    let mark = one.mark();
    assert_eq!(other.mark(), mark);
    assert_ne!(one, other, "one has made it, the other found it");
    assert_eq!(depot.claim().await.unwrap(), Claim::Found(mark));
    assert_eq!(depot.mark().await.unwrap(), mark);
    assert_eq!(mark.to_string().len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_use_a_folder_agree_on_its_mark() {
    let desk = Desk::new().await;
    are_agreed_upon(&desk.depot).await;
    let other = Desk::new().await;
    let marks = (desk.depot.claim().await, other.depot.claim().await);
    assert_ne!(marks.0.unwrap(), marks.1.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_claim_a_folder_at_once_agree() {
    for _ in 0..20 {
        let desk = Desk::new().await;
        let mut claims = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let depot = desk.depot.clone();
            claims.spawn(async move { depot.claim().await.unwrap() });
        }
        let marks = claims.join_all().await;
        let mark = marks[0].mark();
        assert!(marks.iter().all(|claim| claim.mark() == mark), "{marks:?}");
        let made = marks.iter().filter(|claim| matches!(claim, Claim::Made(_)));
        assert_eq!(made.count(), 1, "{marks:?}");
        assert!(desk.files().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_use_s3_agree_on_its_mark() {
    all_agree_on_its_mark(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_use_azure_agree_on_its_mark() {
    all_agree_on_its_mark(Vendor::Azure).await;
}

async fn all_agree_on_its_mark(vendor: Vendor) {
    let Some(mut store) = Store::new(vendor) else {
        return;
    };
    let depot = store.open("aaa/x").await.unwrap();
    are_agreed_upon(&depot).await;
    assert_eq!(store.objects(), ["x/propeller-depot"]);
    store.put("y/propeller-depot");
    let other = store.open("aaa/y").await.unwrap();
    let refused = other.claim().await.unwrap_err();
    assert!(matches!(refused, OpenError::NotAMark { .. }), "{refused}");
}

#[tokio::test]
async fn whoever_remembers_a_mark_finds_its_own() {
    let desk = Desk::new().await;
    let (mine, other) = (Mark::random().unwrap(), Mark::random().unwrap());
    assert_ne!(mine, other);
    let made = desk.depot.claim_with(mine).await.unwrap();
    assert_eq!(made, Claim::Made(mine));
    let found = desk.depot.claim_with(other).await.unwrap();
    assert_eq!(found, Claim::Found(mine));
}

#[tokio::test]
async fn what_is_no_mark_is_told_and_left_alone() {
    let desk = Desk::new().await;
    let long = "0".repeat(5_000_000);
    for text in [
        "",
        "notes",
        long.as_str(),
        "z00102030405060708090a0b0c0d0e0f\n",
    ] {
        fs::write(desk.path("propeller-depot"), text).unwrap();
        let claimed = desk.depot.claim().await.map(Claim::mark);
        for refused in [claimed, desk.depot.mark().await] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, OpenError::NotAMark { .. }), "{refused}");
        }
        let kept = fs::read_to_string(desk.path("propeller-depot")).unwrap();
        assert!(kept == text);
    }
}
