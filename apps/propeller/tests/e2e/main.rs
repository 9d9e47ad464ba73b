//! The whole path, as users see it: real broker, real store, real guests.
#![cfg(test)]

mod attested;
mod attested_midway;
mod attested_proof;
mod attested_refused;
mod attested_slow;
mod bad_input;
mod broker;
mod cli;
mod daemons;
mod disk;
mod external;
mod gate;
mod grants;
mod hostile;
mod hostile_attested;
mod images;
mod interpreter;
mod isolation;
mod keeper;
mod limits;
mod logs;
mod logs_wire;
mod objects;
mod objects_s3;
mod operating;
mod path;
mod persistence;
mod plain;
mod processes;
mod proxy;
mod rest;
mod services;
mod soak;
mod support;
mod survival;
