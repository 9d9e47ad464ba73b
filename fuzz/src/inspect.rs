//! Modules and components: whatever a file says about itself, the report is short and plain.

use propeller_inspect::{ITEMS_MAX, Listed, Report, Verdict};

/// Longest text of a report, before its characters are spelled out at ten for one.
const TEXT_CHARS_MAX: usize = 10 * 512 + 1;

pub(crate) fn inspect(data: &[u8]) {
    let report = match propeller_inspect::inspect(data) {
        Ok(report) => report,
        Err(error) => return plain(&error.to_string()),
    };
    assert_eq!(report.size_bytes, data.len() as u64);
    let Report {
        imports,
        exports,
        needs,
        missing,
        verdict,
        ..
    } = &report;
    for import in listed(imports) {
        plain(&import.name);
        plain(&import.ty);
        plain(import.from.as_deref().unwrap_or_default());
    }
    for export in listed(exports) {
        plain(&export.name);
        plain(&export.ty);
    }
    for need in needs {
        listed(&need.imports)
            .iter()
            .for_each(|import| plain(import));
    }
    listed(missing).iter().for_each(|import| plain(import));
    match verdict {
        Verdict::Runs(call) => {
            assert_eq!(missing.total(), 0, "it would not link");
            plain(&call.command_line("FILE"));
        }
        Verdict::Refused(obstacles) => {
            assert!(!obstacles.is_empty(), "a refusal has a reason");
            for obstacle in obstacles {
                plain(&obstacle.to_string());
            }
        }
    }
}

fn listed<T>(list: &Listed<T>) -> &[T] {
    let full = list.items.len() == ITEMS_MAX;
    assert!(full || (list.items.len() < ITEMS_MAX && list.more == 0));
    &list.items
}

fn plain(text: &str) {
    assert!(text.chars().count() <= TEXT_CHARS_MAX, "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
}
