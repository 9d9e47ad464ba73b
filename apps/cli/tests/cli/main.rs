//! What the command line takes, asks for and prints, against a manager whose answers are scripted.
//!
//! The real manager is tested with this command line elsewhere; here every answer can be had,
//! also those that a healthy manager never gives.

mod arguments;
mod failures;
mod help;
mod images;
mod inputs;
mod inspect;
mod keys;
mod objects;
mod output;
mod pushed_keys;
mod requests;
mod support;
