//! Aligned text: tables of many things, and the facts about one.
//!
//! What a server says is shown with control characters escaped, and those that turn text around: a
//! task's name must not be able to write on somebody's terminal.

use std::borrow::Cow;

use crate::printable::turns;

/// Space between two columns.
const GAP: &str = "  ";

/// Which side a column's text is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Rows below a line of headings.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, Side); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, Side); N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| match cell.as_str() {
            "" => "-".to_owned(),
            text => visible(text).into_owned(),
        }));
    }

    pub(crate) fn render(&self) -> String {
        let headings = self.columns.map(|(heading, _)| heading.to_owned());
        let mut widths = headings.each_ref().map(|cell| width(cell));
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells = row.iter().zip(self.columns).zip(widths);
            let line: Vec<_> = cells
                .map(|((cell, (_, side)), width)| match side {
                    Side::Left => format!("{cell:<width$}"),
                    Side::Right => format!("{cell:>width$}"),
                })
                .collect();
            out.push_str(line.join(GAP).trim_end());
            out.push('\n');
        }
        out
    }
}

/// Names and values, one pair a line; what is empty is left out.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    pub(crate) fn add(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.push((name, visible(value).into_owned()));
        }
    }

    pub(crate) fn render(&self) -> String {
        let widest = self
            .0
            .iter()
            .map(|(name, _)| width(name))
            .max()
            .unwrap_or_default();
        self.0
            .iter()
            .map(|(name, value)| format!("{name:<widest$}{GAP}{value}\n"))
            .collect()
    }
}

/// A text with those characters escaped that move the cursor or turn the text around.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| c.is_control() || turns(c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new([
            ("NAME", Side::Left),
            ("FUEL", Side::Right),
            ("END", Side::Left),
        ]);
        table.add(["add".to_owned(), "12".to_owned(), String::new()]);
        table.add([
            "caf\u{e9} au lait".to_owned(),
            "123456".to_owned(),
            "x".to_owned(),
        ]);
        let expected = "\
NAME            FUEL  END
add               12  -
caf\u{e9} au lait  123456  x
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        let mut facts = Facts::default();
        facts.add("id", "7");
        facts.add("error", "");
        facts.add("created", "a\tb");
        assert_eq!(facts.render(), "id       7\ncreated  a\\tb\n");
    }
}
