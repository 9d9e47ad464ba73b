//! One binary: the command line, and everything it can start.
//!
//! - [`stack`] – broker, manager and proplets in one process
//! - [`up`], [`run`], [`demo`] – what people do with a stack
//! - [`services`] – each part as a process of its own
//! - [`print`] – documents that are generated from the code

pub mod demo;
pub mod print;
pub mod run;
pub mod services;
pub mod stack;
pub mod up;
