//! What was measured, as Markdown, and what it means for the goals.

/// One line about a goal.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: &'static str,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// Prints a heading and a table.
pub(crate) fn section(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let rule = vec!["---"; head.len()].join("|");
    println!("## {title}\n\n| {} |\n|{rule}|", head.join(" | "));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
    println!();
}

/// Prints the goals.
pub(crate) fn goals(goals: Vec<Goal>) {
    let rows: Vec<_> = goals
        .into_iter()
        .map(
            |Goal {
                 what,
                 goal,
                 measured,
                 met,
             }| {
                let met = if met { "yes" } else { "no" };
                vec![what, goal.to_owned(), measured, met.to_owned()]
            },
        )
        .collect();
    section("Goals", &["what", "goal", "measured", "met"], &rows);
}
