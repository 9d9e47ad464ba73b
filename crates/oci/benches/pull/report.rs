//! What was measured, as Markdown.

/// Prints a heading and a table.
pub(crate) fn section(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let rule = vec!["---"; head.len()].join("|");
    println!("## {title}\n\n| {} |\n|{rule}|", head.join(" | "));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
    println!();
}
