//! The flags that say what a task is to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use propeller_api::{Limits, TaskRequest};

use super::grants::GrantArgs;
use super::stdin::Stdin;
use crate::error::CliError;
use crate::pair::KeyValue;
use crate::units::{parse_bytes, parse_duration};

/// What a task is to do.
#[derive(Debug, Args)]
pub(crate) struct Spec {
    /// Image in a registry that has the module, such as ghcr.io/me/hello:1
    #[arg(long, value_name = "REF", alias = "image-url")]
    image: Option<String>,

    /// Arguments, separated by commas; can be repeated
    #[arg(
        long,
        value_name = "ARG,ARG",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    inputs: Vec<String>,

    /// One argument, whole, with the commas it has, such as '[1,2,3]'; can be repeated
    #[arg(
        long,
        value_name = "VALUE",
        allow_hyphen_values = true,
        conflicts_with = "inputs"
    )]
    arg: Vec<String>,

    /// Environment variable of the guest; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<KeyValue>,

    /// Exported function to call [default: the command's start, or the function called NAME]
    #[arg(long, value_name = "EXPORT")]
    invoke: Option<String>,

    /// File that the guest reads as standard input; - for ours. More than 1 MiB is sealed here, and
    /// kept so in the manager's object store
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    stdin: Option<PathBuf>,

    /// Flags from a closed list, separated by commas, such as --invoke,NAME; can be repeated
    #[arg(
        long,
        value_name = "FLAG,FLAG",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    cli_args: Vec<String>,

    /// The only proplet that may run it
    #[arg(long, value_name = "ID")]
    proplet_id: Option<String>,

    /// 0 to 100; higher goes first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i64>,

    /// Label to find it by; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<KeyValue>,

    /// Keep it running until it is stopped or fails
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true)]
    daemon: Option<bool>,

    /// Only a proplet in a TEE may open the image, which is encrypted and named by digest
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true)]
    encrypted: Option<bool>,

    /// Where a key broker keeps the key of that image, such as default/key/my-app
    #[arg(long, value_name = "PATH")]
    kbs_resource_path: Option<String>,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    grants: GrantArgs,

    #[command(flatten)]
    upstream: Upstream,
}

/// How much a task may use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Memory, such as 64MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<u64>,

    /// Fuel: about one unit per executed instruction
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    fuel: Option<u64>,

    /// Time, such as 10s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Standard output, standard error and result, each, such as 1MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    output_limit: Option<u64>,
}

/// Flags of upstream's client. They are passed on, and the manager refuses those that it does not
/// support, by name: then a script learns that it asked for something it will not get.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flags of Propeller 0.5, for the manager to accept or refuse")]
struct Upstream {
    /// Whether it is prepared now and invoked later
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    latent: Option<bool>,

    /// Whether every proplet runs it
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    broadcast: Option<bool>,

    /// infer or train
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    mode: Option<String>,

    /// standard or federated
    #[arg(long, value_name = "KIND", hide_short_help = true)]
    kind: Option<String>,

    /// When to run it, as five cron fields
    #[arg(long, value_name = "CRON", hide_short_help = true)]
    schedule: Option<String>,

    /// Time zone of the schedule
    #[arg(long, value_name = "ZONE", hide_short_help = true)]
    timezone: Option<String>,

    /// Whether the schedule repeats
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, hide_short_help = true)]
    is_recurring: Option<bool>,
}

impl Spec {
    /// The request that these flags mean, and what the guest is to read, which it does not mention
    /// yet. Reads so far of that as may travel in the request.
    pub(crate) fn into_request(
        self,
        name: Option<String>,
    ) -> Result<(TaskRequest, Option<Stdin>), CliError> {
        let Self {
            image,
            inputs,
            arg,
            env,
            invoke,
            stdin,
            cli_args,
            proplet_id,
            priority,
            metadata,
            daemon,
            encrypted,
            kbs_resource_path,
            limits,
            grants,
            upstream,
        } = self;
        let (profile, grants) = grants.into_parts();
        let stdin = stdin.as_deref().map(Stdin::open).transpose()?;
        let labels = metadata.into_iter().map(KeyValue::into_parts);
        let labels = labels.map(|(key, value)| (key, value.into()));
        let environment = env.into_iter().map(KeyValue::into_parts);
        let request = TaskRequest {
            name,
            cli_args: some(cli_args),
            // At most one of the two was given.
            inputs: some(inputs).or_else(|| some(arg)),
            env: some(environment.collect()),
            proplet_id,
            priority,
            metadata: some(labels.collect()),
            invoke,
            limits: limits.into_limits(),
            profile,
            grants,
            image_url: image,
            daemon,
            latent: upstream.latent,
            encrypted,
            kbs_resource_path,
            broadcast: upstream.broadcast,
            mode: upstream.mode,
            kind: upstream.kind,
            schedule: upstream.schedule,
            timezone: upstream.timezone,
            is_recurring: upstream.is_recurring,
            // What the command line cannot say.
            ..TaskRequest::default()
        };
        Ok((request, stdin))
    }
}

impl LimitArgs {
    /// What a request asks for; nothing if no flag was given.
    #[must_use]
    pub fn into_limits(self) -> Option<Limits> {
        let Self {
            memory,
            fuel,
            timeout,
            output_limit,
        } = self;
        let limits = Limits {
            memory_bytes: memory,
            fuel,
            wall_ms: timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            output_bytes: output_limit,
        };
        (limits != Limits::default()).then_some(limits)
    }
}

/// What is empty was not said, and a manager must not take it for a wish to clear something.
fn some<T: Default + PartialEq>(said: T) -> Option<T> {
    (said != T::default()).then_some(said)
}
