//! Files that were made to be trouble: every answer is short, plain and an answer.

use propeller_inspect::{BYTES_MAX, ITEMS_MAX, InspectError, inspect};

/// Longest text of a report: a type, its mark of being cut, and escapes of at most ten characters.
const TEXT_CHARS_MAX: usize = 10 * 512 + 1;

fn compile(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's text is right")
}

#[test]
fn lists_end_and_count_the_rest() {
    let exports: String = (0..1000)
        .map(|n| format!(r#"(export "f{n}" (func $f))"#))
        .collect();
    let imports: String = (0..500)
        .map(|n| format!(r#"(import "env" "g{n}" (func))"#))
        .collect();
    let report = inspect(&compile(&format!("(module {imports} (func $f) {exports})"))).unwrap();
    assert_eq!(report.exports.items.len(), ITEMS_MAX);
    assert_eq!(report.exports.total(), 1000);
    assert_eq!(report.imports.total(), 500);
    assert_eq!(report.missing.items.len(), ITEMS_MAX);
    assert_eq!(report.missing.total(), 500);
}

#[test]
fn names_are_cut_and_obeyed_by_no_terminal() {
    let long = "x\u{1b}]0;".repeat(10_000);
    let text = format!(r#"(module (import "{long}" "{long}" (func)) (func (export "{long}")))"#);
    let report = inspect(&compile(&text.replace('\u{1b}', "\\1b"))).unwrap();
    let import = &report.imports.items[0];
    let texts = [
        &import.name,
        import.from.as_ref().unwrap(),
        &report.exports.items[0].name,
        &report.missing.items[0],
        &format!("{:?}", report.verdict),
    ];
    for text in texts {
        assert!(text.chars().count() < TEXT_CHARS_MAX, "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }
}

#[test]
fn a_type_that_doubles_at_every_level_is_cut() {
    let levels: String = (1..13)
        .map(|n| format!("(type $t{n} (tuple $t{m} $t{m}))", m = n - 1))
        .collect();
    let text = format!(
        r#"(component (type $t0 (tuple u8 u8)) {levels}
        (import "f" (func (param "a" $t12))) (import "g" (func (param "a" $t12))))"#
    );
    let report = inspect(&compile(&text)).unwrap();
    let ty = &report.imports.items[0].ty;
    assert!(ty.starts_with("func(a: tuple<tuple<"), "{ty}");
    assert!(
        ty.ends_with('…') && ty.chars().count() < TEXT_CHARS_MAX,
        "{ty}"
    );
}

#[test]
fn a_function_with_a_thousand_parameters_is_cut() {
    let params = "f64 ".repeat(1000);
    let text = format!(r#"(module (func (export "f") (param {params})))"#);
    let report = inspect(&compile(&text)).unwrap();
    assert!(report.exports.items[0].ty.ends_with('…'));
    let call = format!("{:?}", report.verdict);
    assert!(call.len() < 200, "{call}");
}

#[test]
fn every_beginning_of_a_file_gets_an_answer() {
    let texts = [include_str!("command.wat"), include_str!("library.wat")];
    for file in texts.map(compile) {
        let mut cut_off = 0;
        for end in 0..file.len() {
            match inspect(&file[..end]) {
                Err(InspectError::Truncated { bytes }) => {
                    assert_eq!(bytes, end as u64);
                    cut_off += 1;
                }
                Ok(_) | Err(InspectError::Empty | InspectError::Invalid { .. }) => {}
                Err(error) => panic!("{end}: {error}"),
            }
        }
        // At the end of a section a shorter file begins, which may be right or wrong.
        assert!(cut_off * 10 > file.len() * 8, "{cut_off} of {}", file.len());
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let bytes = vec![0; BYTES_MAX + 1];
    let error = InspectError::TooLarge {
        bytes: bytes.len() as u64,
    };
    assert_eq!(inspect(&bytes), Err(error));
}
