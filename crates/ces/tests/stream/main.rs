//! Streams into shards and back: whole, in part, damaged, attacked, repaired and rotated.
#![cfg(test)]

mod bounds;
mod faults;
mod hostile;
mod keys;
mod mistakes;
mod objects;
mod others;
mod ranges;
mod repairs;
mod rotations;
mod round_trips;
mod trials;
mod unnamed;
mod vectors;
