//! Everything that ends the program with status 1.

use std::fmt::{self, Display, Formatter};

use wasip2::io::streams::StreamError;
use wasip2::sockets::network::ErrorCode;

const USAGE: &str = "\
usage: dial connect HOST PORT
       dial listen ADDRESS PORT
       dial lookup HOST
       dial udp ADDRESS PORT";

pub(crate) enum Failure {
    /// The arguments are none of the command lines.
    Usage,
    /// This argument is no address.
    Address(String),
    /// This argument is no port.
    Port(String),
    /// The network refused.
    Network(ErrorCode),
    /// A stream ended before what was to be written to it.
    Closed,
    /// A stream failed. The function that gives the code of such an error is not stable.
    Stream(String),
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::Network(code)
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self::Closed,
            StreamError::LastOperationFailed(error) => Self::Stream(error.to_debug_string()),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => f.write_str(USAGE),
            Self::Address(text) => write!(f, "{text:?} is no IP address; try 127.0.0.1 or ::1"),
            Self::Port(text) => write!(f, "{text:?} is no port, which is from 0 to 65535"),
            Self::Network(code) => write!(f, "{code:?}"),
            Self::Closed => f.write_str("nobody reads what is written"),
            Self::Stream(reason) => f.write_str(reason),
        }
    }
}
