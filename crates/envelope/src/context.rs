//! What an envelope is for. Bound into its keys, never stored.

/// The purpose and owner of an envelope.
///
/// An envelope opens only for the context it was sealed for, so that a broker or a disk cannot
/// hand one task's input to another or an old result to a new attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context<'a> {
    /// A plain module, shared by all tasks of a tenant that run it.
    Module {
        /// Whose module.
        tenant: &'a str,
        /// SHA-256 of the plain module.
        digest: [u8; 32],
    },
    /// What a task is given: arguments, environment, standard input.
    Input {
        /// Whose task.
        tenant: &'a str,
        /// The task's id.
        task: [u8; 16],
    },
    /// What one attempt produced.
    Result {
        /// Whose task.
        tenant: &'a str,
        /// The task's id.
        task: [u8; 16],
        /// The attempt that produced it.
        attempt: u32,
        /// The proplet that ran it.
        proplet: &'a str,
    },
    /// A piece of what one attempt prints, while it runs.
    Log {
        /// Whose task.
        tenant: &'a str,
        /// The task's id.
        task: [u8; 16],
        /// The attempt that prints it.
        attempt: u32,
        /// The proplet that runs it.
        proplet: &'a str,
        /// 1 for standard output, 2 for standard error.
        stream: u8,
        /// Where in the stream the piece begins.
        offset: u64,
    },
    /// Something a service keeps for itself.
    Record {
        /// The service.
        owner: &'a str,
        /// The thing.
        name: &'a str,
    },
}

impl Context<'_> {
    /// `u8(kind) ‖ u32(len) ‖ field ‖ …`: unambiguous, because every field carries its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Module { tenant, digest } => encode(1, &[tenant.as_bytes(), digest]),
            Self::Input { tenant, task } => encode(2, &[tenant.as_bytes(), task]),
            Self::Result {
                tenant,
                task,
                attempt,
                proplet,
            } => encode(
                3,
                &[
                    tenant.as_bytes(),
                    task,
                    &attempt.to_be_bytes(),
                    proplet.as_bytes(),
                ],
            ),
            Self::Log {
                tenant,
                task,
                attempt,
                proplet,
                stream,
                offset,
            } => encode(
                5,
                &[
                    tenant.as_bytes(),
                    task,
                    &attempt.to_be_bytes(),
                    proplet.as_bytes(),
                    &[*stream],
                    &offset.to_be_bytes(),
                ],
            ),
            Self::Record { owner, name } => encode(4, &[owner.as_bytes(), name.as_bytes()]),
        }
    }
}

fn encode(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![kind];
    for field in fields {
        let len = u32::try_from(field.len()).expect("names are far shorter than 4 GiB");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}
