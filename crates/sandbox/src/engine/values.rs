//! WebAssembly numbers as text.

use wasmtime::{Val, ValType};

/// Whether values of this type have a text form.
pub(super) fn has_text(ty: &ValType) -> bool {
    matches!(
        ty,
        ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64
    )
}

/// Reads a value of type `ty`. WebAssembly integers have no sign, so both readings are accepted:
/// `-1` and `4294967295` are the same `i32`.
pub(crate) fn parse(ty: &ValType, text: &str) -> Option<Val> {
    match ty {
        ValType::I32 => {
            let signed = text.parse::<i32>();
            let either = signed.or_else(|_| text.parse::<u32>().map(u32::cast_signed));
            either.ok().map(Val::from)
        }
        ValType::I64 => {
            let signed = text.parse::<i64>();
            let either = signed.or_else(|_| text.parse::<u64>().map(u64::cast_signed));
            either.ok().map(Val::from)
        }
        ValType::F32 => text.parse::<f32>().ok().map(Val::from),
        ValType::F64 => text.parse::<f64>().ok().map(Val::from),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

/// Writes the results of a function; `None` if it has none. Integers are signed; floats are the
/// shortest text that reads back as the same number.
pub(crate) fn render(values: &[Val]) -> Option<String> {
    if values.is_empty() {
        return None;
    }
    let texts: Vec<String> = values.iter().map(text).collect();
    Some(texts.join(" "))
}

fn text(value: &Val) -> String {
    match *value {
        Val::I32(number) => number.to_string(),
        Val::I64(number) => number.to_string(),
        Val::F32(bits) => f32::from_bits(bits).to_string(),
        Val::F64(bits) => f64::from_bits(bits).to_string(),
        _ => unreachable!("a call is resolved only if all results have a text form"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: &ValType, text: &str, expected: Option<&str>) {
        let value = parse(ty, text);
        let rendered = value.and_then(|value| render(&[value]));
        assert_eq!(rendered.as_deref(), expected, "{ty} {text:?}");
    }

    #[test]
    fn integers_are_read_with_and_without_sign() {
        check(&ValType::I32, "-1", Some("-1"));
        check(&ValType::I32, "4294967295", Some("-1"));
        check(&ValType::I32, "4294967296", None);
        check(&ValType::I64, "18446744073709551615", Some("-1"));
        check(
            &ValType::I64,
            "-9223372036854775808",
            Some("-9223372036854775808"),
        );
        check(&ValType::I64, "18446744073709551616", None);
        check(&ValType::I64, "1.0", None);
        check(&ValType::I32, "", None);
    }

    #[test]
    fn floats_are_written_as_short_as_they_can_be_read_back() {
        check(&ValType::F64, "0.1", Some("0.1"));
        check(&ValType::F32, "0.1", Some("0.1"));
        check(&ValType::F64, "1.0", Some("1"));
        check(&ValType::F64, "-0.0", Some("-0"));
        check(&ValType::F64, "1e3", Some("1000"));
        check(&ValType::F64, "inf", Some("inf"));
        check(&ValType::F64, "nan", Some("NaN"));
        check(&ValType::F64, "ten", None);
    }

    #[test]
    fn vectors_have_no_text() {
        check(&ValType::V128, "0", None);
        assert!(!has_text(&ValType::V128));
    }

    #[test]
    fn several_results_are_joined_by_a_space() {
        let values = [Val::I32(1), Val::I64(-2), Val::from(0.5_f32)];
        assert_eq!(render(&values).as_deref(), Some("1 -2 0.5"));
        assert_eq!(render(&[]), None);
    }
}
