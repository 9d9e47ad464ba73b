//! `tasks list`

use clap::Args;

use super::state_of;
use crate::error::{CliError, Exit};
use crate::pair::KeyValue;
use crate::table::{Side, Table};
use crate::{PageArgs, Session};

/// Which tasks to list.
#[derive(Debug, Args)]
pub struct List {
    /// Only those with this label; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<KeyValue>,

    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(args: List, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let labels = args
        .metadata
        .into_iter()
        .map(KeyValue::into_parts)
        .collect();
    let page = session.client.task_list(args.page.page(), &labels).await?;
    if session.json {
        session.ui.json(&page)?;
        return Ok(Exit::Success);
    }
    if page.total == 0 {
        let program = session.program;
        session.ui.note(&format!(
            "there are no tasks; create one with: {program} tasks create"
        ));
        return Ok(Exit::Success);
    }
    let mut table = Table::new([
        ("ID", Side::Left),
        ("NAME", Side::Left),
        ("STATE", Side::Left),
        ("PROPLET", Side::Left),
        ("CREATED", Side::Left),
    ]);
    for task in &page.tasks {
        table.add([
            task.id.clone(),
            task.name.clone(),
            state_of(&task.id, task.state)?.word().to_owned(),
            task.proplet_id.clone(),
            task.created_at.clone(),
        ]);
    }
    session.page(&table, args.page.rest(page.tasks.len(), page.total))?;
    Ok(Exit::Success)
}
