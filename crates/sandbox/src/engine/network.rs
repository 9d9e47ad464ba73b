//! What guests have of a network: nothing but what their job lists.

mod egress;
mod reach;
mod sockets;

pub(super) use egress::Egress;
pub(super) use reach::Reach;
pub(super) use sockets::{add_to_linker, allow};
