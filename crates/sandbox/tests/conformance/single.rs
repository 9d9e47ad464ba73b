//! The tests of a suite with a single runtime. Its own `runtime` says what that is: the function
//! `runtime()`, and `COLUMN` for docs/book/wasi.md.

pub(crate) mod port;

use std::sync::Arc;

use crate::conformance::{page, wasi};
use crate::runtime::COLUMN;
use crate::support::runtime;

#[tokio::test]
async fn every_host_call_of_wasi_does_what_the_book_says() {
    let outcomes = wasi::outcomes(Arc::new(runtime()), &COLUMN).await;
    page::check(&COLUMN, &outcomes);
}

#[tokio::test]
#[ignore = "writes docs/book/wasi.md anew"]
async fn the_book_is_told_what_every_host_call_of_wasi_does() {
    let outcomes = wasi::outcomes(Arc::new(runtime()), &COLUMN).await;
    page::write(&COLUMN, &outcomes);
}
