//! Registries: Debian's `docker-registry` with Debian's `skopeo` beside us, and scripted ones that lie.
#![cfg(test)]

mod archives;
mod encrypted;
mod hostile;
mod keepers;
mod live;
mod signed;
mod support;
mod tokens;
