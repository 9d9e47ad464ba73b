//! Running the programs that keep credentials. They are the operator's, named in the operator's file.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::Registry;
use crate::credentials::{
    ANSWER_BYTES_MAX, Credential, CredentialsError, Keeper, PATIENCE, Silence,
};

/// How many programs run at a time, for each client.
pub(super) const RUNNING_MAX: usize = 4;

/// How the variables begin that have our own settings, some of which are secrets: whoever keeps
/// credentials of registries needs none of them.
const OURS: [&str; 6] = [
    "BROKER_",
    "KEYBROKER_",
    "MANAGER_",
    "PROPELLER_",
    "PROPLET_",
    "PROXY_",
];

impl Registry {
    /// Asks a program who we are; nobody, if it knows of nothing.
    pub(super) async fn ask(
        &self,
        keeper: &Keeper,
    ) -> Result<Option<Credential>, CredentialsError> {
        let _place = self.keepers.acquire().await;
        let asked = tokio::time::timeout(PATIENCE, run(keeper)).await;
        let asked = asked.unwrap_or(Err(Silence::Late));
        asked.map_err(|why| keeper.silent(why))
    }
}

/// Runs it to its end. Who does not wait for that, kills it.
async fn run(keeper: &Keeper) -> Result<Option<Credential>, Silence> {
    let not_run = |error: std::io::Error| Silence::NotRun(error.kind());
    let mut command = Command::new(keeper.program()?);
    for (name, _) in std::env::vars_os() {
        if OURS
            .iter()
            .any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes()))
        {
            command.env_remove(name);
        }
    }
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not want to know says so by itself.
        let _told = stdin.write_all(keeper.question().as_bytes()).await;
    }
    let mut answer = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(ANSWER_BYTES_MAX + 1);
        stdout.read_to_end(&mut answer).await.map_err(not_run)?;
    }
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err(Silence::Long);
    }
    let status = child.wait().await.map_err(not_run)?;
    Keeper::read(&answer, status.code())
}
