//! Verbs about proplets.

use clap::{Args, Subcommand, ValueEnum};
use propeller_api::Proplet;
use propeller_sdk::PropletStatus;

use crate::error::{CliError, Exit};
use crate::table::{Facts, Side, Table};
use crate::units::bytes_text;
use crate::{PageArgs, Session};

/// What to do with proplets.
#[derive(Debug, Subcommand)]
pub enum PropletVerb {
    /// List proplets
    List(List),
    /// Show one proplet
    View(Id),
    /// Forget a proplet that has no tasks
    Delete(Id),
    /// Show how much CPU time and memory a proplet took
    Metrics(Paged),
    /// Show when a proplet was heard from
    AliveHistory(Paged),
    /// Print what a proplet can do, as a Semantic Definition Format document
    Sdf(Id),
}

/// Which proplets to list.
#[derive(Debug, Args)]
pub struct List {
    /// Only those that are, or are not, heard from
    #[arg(long)]
    status: Option<Status>,

    #[command(flatten)]
    page: PageArgs,
}

/// Whether a proplet is heard from.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Active,
    Inactive,
}

/// One proplet.
#[derive(Debug, Args)]
pub struct Id {
    /// Id of the proplet
    id: String,
}

/// Part of what is known of one proplet.
#[derive(Debug, Args)]
pub struct Paged {
    /// Id of the proplet
    id: String,

    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(
    verb: PropletVerb,
    session: &mut Session<'_, '_>,
) -> Result<Exit, CliError> {
    match verb {
        PropletVerb::List(args) => list(args, session).await?,
        PropletVerb::View(Id { id }) => view(&id, session).await?,
        PropletVerb::Delete(Id { id }) => {
            session.client.proplet_delete(&id).await?;
            session.done(&format!("Deleted proplet {id}"))?;
        }
        PropletVerb::Metrics(args) => metrics(args, session).await?,
        PropletVerb::AliveHistory(args) => history(args, session).await?,
        PropletVerb::Sdf(Id { id }) => session.ui.json(&session.client.proplet_sdf(&id).await?)?,
    }
    Ok(Exit::Success)
}

async fn list(args: List, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let status = args.status.map(|status| match status {
        Status::Active => PropletStatus::Active,
        Status::Inactive => PropletStatus::Inactive,
    });
    let page = session
        .client
        .proplet_list(args.page.page(), status)
        .await?;
    if session.json {
        return session.ui.json(&page);
    }
    if page.total == 0 {
        session
            .ui
            .note("there are no proplets; start one with: propeller proplet");
        return Ok(());
    }
    let mut table = Table::new([
        ("ID", Side::Left),
        ("NAME", Side::Left),
        ("STATUS", Side::Left),
        ("TASKS", Side::Right),
        ("SLOTS", Side::Right),
        ("LINK", Side::Left),
        ("TEE", Side::Left),
        ("LAST ALIVE", Side::Left),
    ]);
    for proplet in &page.proplets {
        table.add([
            proplet.id.clone(),
            proplet.name.clone(),
            status_word(proplet).to_owned(),
            proplet.task_count.to_string(),
            proplet.slots.to_string(),
            proplet.link.clone(),
            proplet.tee.clone(),
            proplet.last_alive_at.clone().unwrap_or_default(),
        ]);
    }
    session.page(&table, args.page.rest(page.proplets.len(), page.total))
}

fn status_word(proplet: &Proplet) -> &'static str {
    if proplet.alive {
        PropletStatus::Active.word()
    } else {
        PropletStatus::Inactive.word()
    }
}

async fn view(id: &str, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let proplet = session.client.proplet_view(id).await?;
    if session.json {
        return session.ui.json(&proplet);
    }
    let metadata = &proplet.metadata;
    let memory = match metadata.total_memory_bytes {
        0 => String::new(),
        bytes => bytes_text(bytes),
    };
    let mut facts = Facts::default();
    facts.add("id", &proplet.id);
    facts.add("name", &proplet.name);
    facts.add("status", status_word(&proplet));
    facts.add(
        "last alive",
        proplet.last_alive_at.as_deref().unwrap_or_default(),
    );
    facts.add(
        "tasks",
        &format!("{} of {}", proplet.task_count, proplet.slots),
    );
    facts.add("link", &proplet.link);
    facts.add("tee", &proplet.tee);
    facts.add(
        "tee checked",
        proplet.tee_checked_at.as_deref().unwrap_or_default(),
    );
    facts.add("tee refused", &proplet.tee_refused);
    facts.add("description", &metadata.description);
    facts.add("tags", &metadata.tags.join(", "));
    facts.add("location", &metadata.location);
    facts.add("host", &metadata.hostname);
    facts.add("address", &metadata.ip);
    facts.add("environment", &metadata.environment);
    facts.add(
        "system",
        format!("{} {}", metadata.os, metadata.cpu_arch).trim(),
    );
    facts.add("memory", &memory);
    facts.add("version", &metadata.proplet_version);
    facts.add("runtime", &metadata.wasm_runtime);
    session.ui.text(&facts.render())
}

async fn metrics(args: Paged, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let page = session
        .client
        .proplet_metrics(&args.id, args.page.page())
        .await?;
    if session.json {
        return session.ui.json(&page);
    }
    let mut table = Table::new([
        ("TIME", Side::Left),
        ("CPU", Side::Right),
        ("USER", Side::Right),
        ("SYSTEM", Side::Right),
        ("MEMORY", Side::Right),
    ]);
    for sample in &page.metrics {
        table.add([
            sample.timestamp.clone(),
            format!("{:.1} %", sample.cpu_metrics.percent),
            format!("{:.2} s", sample.cpu_metrics.user_seconds),
            format!("{:.2} s", sample.cpu_metrics.system_seconds),
            bytes_text(sample.memory_metrics.rss_bytes),
        ]);
    }
    session.page(&table, args.page.rest(page.metrics.len(), page.total))
}

async fn history(args: Paged, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let page = session
        .client
        .proplet_history(&args.id, args.page.page())
        .await?;
    if session.json {
        return session.ui.json(&page);
    }
    let mut table = Table::new([("HEARD FROM", Side::Left)]);
    for time in &page.history {
        table.add([time.clone()]);
    }
    session.page(&table, args.page.rest(page.history.len(), page.total))
}
