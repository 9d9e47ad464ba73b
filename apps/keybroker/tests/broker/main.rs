//! A key broker over a real socket, and everybody who talks to it: those it is for, and the others.
//!
//! The tests of `protocol` and `refusals` know nothing but a URL. `PROPELLER_TEST_KBS=https://…` runs
//! them against another broker, Trustee for one, with the administrator's private key in the file
//! `PROPELLER_TEST_KBS_ADMIN_KEY` and his role in `PROPELLER_TEST_KBS_ADMIN_ROLE` (`admin`).
#![cfg(test)]

mod administration;
mod bed;
mod guest;
mod hardware;
mod hostile;
mod keys;
mod log;
mod protocol;
mod refusals;
mod rest;
mod rules;
mod target;
