//! The library as programs in C, C++, Go and Python see it.
#![cfg(test)]

mod c;
mod go;
mod header;
mod installed;
mod python;
mod v0;
