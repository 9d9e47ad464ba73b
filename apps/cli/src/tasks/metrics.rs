//! `tasks metrics`

use clap::Args;

use crate::error::{CliError, Exit};
use crate::table::{Side, Table};
use crate::units::{bytes_text, micros_text};
use crate::{PageArgs, Session};

/// Whose measurements to show, and which.
#[derive(Debug, Args)]
pub struct Metrics {
    /// Id of the task
    id: String,

    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(args: Metrics, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let page = session
        .client
        .task_metrics(&args.id, args.page.page())
        .await?;
    if session.json {
        session.ui.json(&page)?;
        return Ok(Exit::Success);
    }
    let mut table = Table::new([
        ("TIME", Side::Left),
        ("PROPLET", Side::Left),
        ("PREPARE", Side::Right),
        ("COMPILE", Side::Right),
        ("RUN", Side::Right),
        ("CPU", Side::Right),
        ("FUEL", Side::Right),
        ("MEMORY", Side::Right),
    ]);
    for sample in &page.metrics {
        let usage = sample.metrics;
        table.add([
            sample.timestamp.clone(),
            sample.proplet_id.clone(),
            micros_text(usage.prepare_us),
            micros_text(usage.compile_us),
            micros_text(usage.run_us),
            micros_text(usage.cpu_us),
            usage.fuel.to_string(),
            bytes_text(usage.memory_peak_bytes),
        ]);
    }
    session.page(&table, args.page.rest(page.metrics.len(), page.total))?;
    Ok(Exit::Success)
}
