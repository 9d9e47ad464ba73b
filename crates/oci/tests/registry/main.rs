//! Registries: Debian's `docker-registry` with Debian's `skopeo` beside us, and scripted ones that lie.
#![cfg(test)]

mod encrypted;
mod hostile;
mod live;
mod support;
mod tokens;
