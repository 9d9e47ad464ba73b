//! docs/book/wasi.md: one column for each runtime, written from what ran and compared with it.
//!
//! The page has three tables between markers: a summary with a row for each host call, the cases,
//! and what differs. A runtime reads and writes its own column, and its name in the last one. There
//! are such tables again for guests with a directory, where a column is what they may do in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};

use super::Column;
use super::wasi::Outcome;

/// What the page calls three of its tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) summary: &'static str,
    pub(crate) cases: &'static str,
    pub(crate) differences: &'static str,
}

/// Those for guests that have streams alone.
const STREAMS: Tables = Tables {
    summary: "summary",
    cases: "cases",
    differences: "differences",
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/book/wasi.md");

/// How to bring the page up to date.
const HINT: &str = "docs/book/wasi.md is not what ran: write it with \
    `cargo test -p propeller-sandbox -- --ignored the_book_is_told`";

/// Fails unless the page says of the runtime of `column` what `outcomes` say.
pub(crate) fn check(column: &Column, outcomes: &[Outcome]) {
    STREAMS.check(column, outcomes);
}

/// Makes the page say of the runtime of `column` what `outcomes` say.
pub(crate) fn write(column: &Column, outcomes: &[Outcome]) {
    STREAMS.write(column, outcomes);
}

impl Tables {
    /// Fails unless the page says of `column` what `outcomes` say.
    pub(crate) fn check(self, column: &Column, outcomes: &[Outcome]) {
        let page = std::fs::read_to_string(PAGE).expect("the page is there");
        let said = self.told(&page, column, outcomes);
        for (old, new) in page.lines().zip(said.lines()) {
            assert_eq!(old, new, "{HINT}");
        }
        assert!(page == said, "{HINT}");
    }

    /// Makes the page say of `column` what `outcomes` say.
    pub(crate) fn write(self, column: &Column, outcomes: &[Outcome]) {
        let file = File::options().read(true).write(true).open(PAGE);
        let mut file = file.expect("the page is there");
        // Others have their columns written at the same time.
        file.lock().expect("the page can be locked");
        let mut page = String::new();
        file.read_to_string(&mut page)
            .expect("the page can be read");
        let said = self.told(&page, column, outcomes);
        file.rewind().expect("a file has a start");
        file.set_len(0).expect("the page can be emptied");
        file.write_all(said.as_bytes())
            .expect("the page can be written");
    }

    /// The page with what `outcomes` say in place of what it said of `column`.
    fn told(self, page: &str, column: &Column, outcomes: &[Outcome]) -> String {
        let page = replaced(page, self.summary, |table| {
            table.tell(column.name, summary(outcomes));
        });
        let page = replaced(&page, self.cases, |table| {
            let rows = outcomes.iter().map(|of| {
                let key = vec![code(of.call), of.case.clone()];
                (key, of.cell.clone())
            });
            table.tell(column.name, rows.collect());
        });
        replaced(&page, self.differences, |table| table.differ(column))
    }
}

/// For each host call, how many cases end how.
fn summary(outcomes: &[Outcome]) -> Vec<(Vec<String>, String)> {
    let calls = outcomes.chunk_by(|one, next| one.call == next.call);
    let counts = calls.map(|cases| {
        let count = |kind: &str| {
            let cells = cases.iter().map(|of| of.cell.as_str());
            cells.filter(|cell| cell.starts_with(kind)).count()
        };
        let counts = ["passes", "refuses", "refused", "differs"].map(|kind| (kind, count(kind)));
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        (vec![code(cases[0].call)], counts.join(", "))
    });
    counts.collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

/// Cases, those of one host call behind its name.
fn listed(cases: &[(&str, &str)]) -> String {
    let calls = cases.chunk_by(|one, next| one.0 == next.0);
    let calls = calls.map(|cases| {
        let names: Vec<&str> = cases.iter().map(|(_, name)| *name).collect();
        format!("{}: {}", code(cases[0].0), names.join("; "))
    });
    Vec::from_iter(calls).join("<br>")
}

/// The page with its table called `name` edited.
fn replaced(page: &str, name: &str, edit: impl FnOnce(&mut Table)) -> String {
    let begin = format!("<!-- {name}:begin -->\n");
    let end = format!("<!-- {name}:end -->");
    let (before, rest) = page.split_once(&begin).expect("the page has its markers");
    let (table, after) = rest.split_once(&end).expect("the page has its markers");
    let mut table = Table::parse(table);
    edit(&mut table);
    format!("{before}{begin}{}{end}{after}", table.render())
}

/// A table in Markdown.
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with('|'));
        let mut rows = lines.map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        });
        let head = rows.next().expect("a table has a head");
        // The line below the head has dashes alone.
        let rows = rows.skip(1).collect();
        Self { head, rows }
    }

    fn render(&self) -> String {
        let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | "));
        let dashes = "|---".repeat(self.head.len());
        let rows: String = self.rows.iter().map(line).collect();
        format!("{}{dashes}|\n{rows}", line(&self.head))
    }

    /// Sets the column called `name`, and the rows to those that are `told` of. Other columns keep
    /// what they have, in the rows that stay.
    fn tell(&mut self, name: &str, told: Vec<(Vec<String>, String)>) {
        let known = self.head.iter().position(|head| head == name);
        let at = known.unwrap_or_else(|| {
            self.head.push(name.to_owned());
            self.head.len() - 1
        });
        let old = std::mem::take(&mut self.rows);
        for (key, cell) in told {
            let kept = old.iter().find(|row| row.starts_with(&key));
            let mut row = kept.cloned().unwrap_or(key);
            row.resize(self.head.len(), "?".to_owned());
            row[at] = cell;
            self.rows.push(row);
        }
    }

    /// Sets the rows of `column`; runtimes that differ alike share a row and stand in its last cell.
    fn differ(&mut self, column: &Column) {
        let rows = std::mem::take(&mut self.rows).into_iter();
        let mut rows: BTreeMap<Vec<String>, BTreeSet<String>> = rows
            .map(|mut row| {
                let names = row.pop().unwrap_or_default();
                let names = names.split(", ").filter(|&name| name != column.name);
                (row, names.map(str::to_owned).collect())
            })
            .collect();
        for known in column.differences {
            let row = vec![known.why.to_owned(), listed(known.cases)];
            rows.entry(row).or_default().insert(column.name.to_owned());
        }
        rows.retain(|_, names| !names.is_empty());
        let rows = rows.into_iter().map(|(mut row, names)| {
            row.push(Vec::from_iter(names).join(", "));
            row
        });
        self.rows = rows.collect();
    }
}
