//! Keys and messages: those of the RFCs, and those with one thing wrong.
#![cfg(test)]

mod keys;
mod messages;
mod rfcs;
