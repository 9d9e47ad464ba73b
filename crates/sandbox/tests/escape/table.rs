//! docs/threat-model.md: what stops each attempt, written from what ran and compared with it.

use crate::attempts::ATTEMPTS;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/threat-model.md");
const BEGIN: &str = "<!-- attempts:begin -->\n";
const END: &str = "<!-- attempts:end -->";
const HEAD: &str = "| attempt | stopped by | without seccomp | without locks | in a compiler |\n|---|---|---|---|---|\n";

/// The word for an attempt that worked.
pub(crate) const DONE: &str = "done";

/// How one attempt ended: with all locks, with all but seccomp, with none; and in a compiler.
pub(crate) type Row = [String; 4];

/// Makes the page say what `rows` say.
pub(crate) fn write(rows: &[Row]) {
    let page = read();
    let (before, rest) = page.split_once(BEGIN).expect("the page has its markers");
    let (_, after) = rest.split_once(END).expect("the page has its markers");
    let lines = ATTEMPTS
        .iter()
        .zip(rows)
        .map(|((name, _), row)| format!("| {name} | {} |\n", row.join(" | ")));
    let lines: String = lines.collect();
    std::fs::write(PAGE, format!("{before}{BEGIN}{HEAD}{lines}{END}{after}")).expect("room");
}

/// What the page says otherwise than `rows`. The words of a refusal are the kernel's, and so is what
/// can be done without locks; what may not differ is what seccomp ends, and what the other locks
/// let pass where all of them are there.
pub(crate) fn differences(rows: &[Row], all_there: bool) -> Vec<String> {
    let page = read();
    let mut found = Vec::new();
    for ((name, _), [all, most, _, compiling]) in ATTEMPTS.iter().zip(rows) {
        let begin = format!("| {name} | ");
        let Some(line) = page.lines().find_map(|line| line.strip_prefix(&begin)) else {
            found.push(format!("{name}: not on the page"));
            continue;
        };
        let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
        let [said_all, said_most, _, said_compiling] = cells[..] else {
            found.push(format!("{name}: not five cells"));
            continue;
        };
        if said_all != all {
            found.push(format!("{name}: the page says {said_all}, not {all}"));
        }
        if said_compiling != compiling {
            found.push(format!(
                "{name}: the page says {said_compiling} of a compiler, not {compiling}"
            ));
        }
        if all_there && said_most.starts_with(DONE) != most.starts_with(DONE) {
            found.push(format!("{name}: the page says {said_most}, not {most}"));
        }
    }
    found
}

fn read() -> String {
    std::fs::read_to_string(PAGE).expect("the page is there")
}
